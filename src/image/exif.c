/*
 * exif.c: the one EXIF tag that changes pixels.
 *
 * Only the first directory is read and no offset in it is followed, so loops, huge counts and offsets beyond the block have nothing to
 * work on. EXIF is decoration: whatever is wrong with it, the picture itself is still good and counts as upright.
 */
#include "image/decode.h"

#include <string.h>

#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT      3
#define TYPE_LONG       4

static uint32_t
get(const uint8_t *bytes, int n, bool big_endian)
{
	uint32_t value = 0;

	for (int i = 0; i < n; i++)
		value |= (uint32_t) bytes[i] << 8 * (big_endian ? n - 1 - i : i);
	return value;
}

int
image_exif_orientation(const uint8_t *bytes, size_t len)
{
	bool big;
	size_t at;
	uint32_t entries;

	if (len >= 6 && memcmp(bytes, "Exif\0", 5) == 0)
	{
		bytes += 6;
		len -= 6;
	}
	/* TIFF: byte order, 42, offset of the first directory; there a count and entries of 12 bytes (tag, type, count, value). */
	if (len < 8 || (memcmp(bytes, "II*\0", 4) != 0 && memcmp(bytes, "MM\0*", 4) != 0))
		return 1;
	big = bytes[0] == 'M';
	at = get(bytes + 4, 4, big);
	if (at < 8 || at > len || len - at < 2)
		return 1;
	entries = get(bytes + at, 2, big);
	at += 2;
	for (; entries > 0 && len - at >= 12; entries--, at += 12)
	{
		const uint8_t *entry = bytes + at;
		uint32_t type, value;

		if (get(entry, 2, big) != TAG_ORIENTATION)
			continue;
		type = get(entry + 2, 2, big);
		if ((type != TYPE_SHORT && type != TYPE_LONG) || get(entry + 4, 4, big) != 1)
			return 1;
		value = get(entry + 8, type == TYPE_SHORT ? 2 : 4, big);
		return value >= 1 && value <= 8 ? (int) value : 1;
	}
	return 1;
}
