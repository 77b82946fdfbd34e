/* test_common_bulk.c: memory of the caller's or of the heap: zeroed, never NULL but on failure, no size that overflows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(memory_is_zeroed_and_goes_back_where_it_came_from),
		cmocka_unit_test(no_more_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
