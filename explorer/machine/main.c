/*
 * main.c - the program: the library's cases under the explorer's command line (--help says what it can do).
 */
#include "cases.h"
#include "machine.h"

int main(int argc, char **argv)
{
    machine_regions();
    return ex_main(argc, argv, cases, case_count);
}
