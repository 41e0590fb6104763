/* cases.h - the tables of cases: the small ones, and the scenarios. */
#ifndef EXPLORER_MACHINE_CASES_H
#define EXPLORER_MACHINE_CASES_H

#include "explorer/runtime.h"

extern const struct ex_case cases[];
extern const size_t case_count;
extern const struct ex_case scenario_cases[];
extern const size_t scenario_case_count;

#endif
