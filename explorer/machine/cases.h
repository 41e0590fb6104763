/* cases.h - the table of cases. */
#ifndef EXPLORER_MACHINE_CASES_H
#define EXPLORER_MACHINE_CASES_H

#include "explorer/runtime.h"

extern const struct ex_case cases[];
extern const size_t case_count;

#endif
