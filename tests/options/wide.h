/* wide.h - lines of 128 bytes, pages of 16 KiB. */
#define KTLB_CACHE_LINE 128
#define KTLB_PAGE_SHIFT 14
