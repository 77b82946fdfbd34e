/* test_common_pages.c: asking for large pages changes neither what is in memory nor how the memory around it is backed. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/pages.h"

/* Whether the kernel has been asked for large pages at an address: "hg" among the flags of its mapping. */
static bool
asked(const void *address)
{
	FILE *maps = fopen("/proc/self/smaps", "r");
	char line[1024];
	bool inside = false, found = false;

	assert_non_null(maps);
	while (fgets(line, sizeof line, maps) != NULL)
	{
		uintptr_t from, to;

		if (sscanf(line, "%zx-%zx ", &from, &to) == 2)
			inside = (uintptr_t) address >= from && (uintptr_t) address < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " hg") != NULL;
	}
	fclose(maps);
	return found;
}

static void
what_is_there_stays(void **state)
{
	const size_t bytes = 3 * EDDH_LARGE_PAGE;
	unsigned char *memory = malloc(bytes);

	assert_non_null(memory);
	memset(memory, 7, bytes);
	for (size_t skip = 0; skip < bytes; skip += EDDH_LARGE_PAGE / 3)
		eddh_large_pages(memory + skip, bytes - skip);
	eddh_large_pages(memory, 0);
	eddh_large_pages(memory + 1, 1);
	for (size_t i = 0; i < bytes; i++)
		assert_int_equal(memory[i], 7);
	free(memory);
}

/* Of six pages, aligned, the second half of the second to the first half of the fifth: whole inside are the third and fourth. */
static void
whole_pages_inside_are_asked_for(void **state)
{
	const size_t page = EDDH_LARGE_PAGE;
	unsigned char *mapped = mmap(NULL, 7 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *at;

	assert_true(mapped != MAP_FAILED);
	at = mapped + (page - (uintptr_t) mapped % page) % page;
	eddh_large_pages(at + page / 2, page);
	assert_false(asked(at + page));
	eddh_large_pages(at + page + page / 2, 3 * page);
	/* A kernel may have none. */
	if (asked(at + 2 * page))
		assert_true(asked(at + 4 * page - 1));
	assert_false(asked(at + 2 * page - 1));
	assert_false(asked(at + 4 * page));
	munmap(mapped, 7 * page);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_there_stays),
		cmocka_unit_test(whole_pages_inside_are_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
