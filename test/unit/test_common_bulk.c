/* test_common_bulk.c: memory of the caller's or of the heap: zeroed, never NULL but on failure, no size that overflows; large pages change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/pages.h"
#include "counting_bulk.h"

static void
sizes_that_overflow_are_refused(void **state)
{
	counting c = { 0 };
	const eddh_bulk bulk = { counting_alloc, counting_release, &c };

	for (int heap = 0; heap < 2; heap++)
	{
		const eddh_bulk *from = heap ? NULL : &bulk;

		assert_null(eddh_bulk_alloc(from, SIZE_MAX / 2, 3, 1));
		assert_null(eddh_bulk_alloc(from, SIZE_MAX / 4, 2, 8));
		assert_null(eddh_bulk_alloc(from, 2, SIZE_MAX / 4, 4));
	}
	assert_int_equal(c.bytes, 0);
}

static void
memory_is_zeroed_and_goes_back_where_it_came_from(void **state)
{
	counting c = { 0 };
	const eddh_bulk bulk = { counting_alloc, counting_release, &c };

	for (int heap = 0; heap < 2; heap++)
	{
		const eddh_bulk *from = heap ? NULL : &bulk;
		char *none = eddh_bulk_alloc(from, 0, 5, 8), *some = eddh_bulk_alloc(from, 10, 5, 8);

		assert_non_null(none);
		assert_non_null(some);
		for (int i = 0; i < 400; i++)
			assert_int_equal(some[i], 0);
		assert_int_equal(c.count, heap ? 0 : 2);
		eddh_bulk_free(from, some);
		eddh_bulk_free(from, NULL);
		eddh_bulk_free(from, none);
		assert_int_equal(c.count, 0);
		assert_int_equal(c.bytes, 401);
	}
}

static void
no_more_is_null(void **state)
{
	int left = 1;
	counting c = { .left = &left };
	const eddh_bulk bulk = { counting_alloc, counting_release, &c };
	void *last = eddh_bulk_alloc(&bulk, 1, 1, 1);

	assert_non_null(last);
	assert_null(eddh_bulk_alloc(&bulk, 1, 1, 1));
	eddh_bulk_free(&bulk, last);
}

/* Whatever part of an allocation is named: what is in it stays, and nothing outside is touched. */
static void
large_pages_keep_what_is_there(void **state)
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(memory_is_zeroed_and_goes_back_where_it_came_from),
		cmocka_unit_test(no_more_is_null),
		cmocka_unit_test(large_pages_keep_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
