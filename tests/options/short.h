/* short.h - lines of 32 bytes: what has to be one line is two. */
#define KTLB_CACHE_LINE 32
