/* fuzz_image.c: any bytes, through probing and both policies, under small limits so that an input takes milliseconds. */
#include "image/image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define SIZE 24

/* What holds for any input: an error is complete, and a picture that loads was probed without error and within limits. */
static void
check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const image_limits limits = { .max_pixels = 1 << 18, .max_scans = 20, .max_memory = 16 << 20 };
	const image_prep preps[2] = {
		{ .size = SIZE, .resize = IMAGE_SQUASH, .std = { 1, 1, 1 } },
		{ .size = SIZE, .resize = IMAGE_CROP, .resize_short = SIZE + 5, .std = { 1, 1, 1 } },
	};
	uint8_t rgb[SIZE * SIZE * 3];
	image_info info;
	eddh_error err = { 0 };
	eddh_code probed = image_probe(bytes, len, &limits, &info, &err);
	eddh_code loaded[2];

	check(probed == EDDH_OK || (err.code == probed && err.message[0] != '\0'), "an error is complete");
	check(probed != EDDH_OK || (info.orientation >= 1 && info.orientation <= 8), "orientation is 1..8");
	check(probed != EDDH_OK || (uint64_t) info.width * info.height <= limits.max_pixels, "the pixel limit is kept");
	for (int i = 0; i < 2; i++)
	{
		memset(&err, 0, sizeof(err));
		loaded[i] = image_load(bytes, len, &preps[i], &limits, rgb, &err);
		check(loaded[i] == EDDH_OK || (err.code == loaded[i] && err.message[0] != '\0'), "an error is complete");
		check(loaded[i] != EDDH_OK || probed == EDDH_OK, "what loads can be probed");
		if (loaded[i] == EDDH_OK)
		{
			float chw[SIZE * SIZE * 3];

			image_normalise(&preps[i], rgb, chw);
		}
	}
	check(loaded[0] == loaded[1], "the policy does not decide whether a picture is good");
	return 0;
}
