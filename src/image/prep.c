/* prep.c: what a network wants to see, from and to the key-value metadata that travels with it. */
#include "image/image.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE     "eddh.input_size"
#define KEY_RESIZE   "eddh.resize"
#define KEY_SHORT    "eddh.resize_short"
#define KEY_CHANNELS "eddh.channels"
#define KEY_MEAN     "eddh.mean"
#define KEY_STD      "eddh.std"

#define MAX_SHORT (4 * IMAGE_MAX_SIDE)

eddh_code
image_prep_check(const image_prep *prep, eddh_error *err)
{
	if (prep->size < 1 || prep->size > IMAGE_MAX_SIDE)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "input size %d is not in 1..%d", prep->size, IMAGE_MAX_SIDE);
	if (prep->resize != IMAGE_SQUASH && prep->resize != IMAGE_CROP)
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "resize policy %d is not known", (int) prep->resize);
	if (prep->resize == IMAGE_CROP && (prep->resize_short < prep->size || prep->resize_short > MAX_SHORT))
		return eddh_fail(err, EDDH_BAD_ARGUMENT, "short side %d to crop from is not in %d..%d", prep->resize_short,
						 prep->size, MAX_SHORT);
	for (int c = 0; c < 3; c++)
	{
		if (!isfinite(prep->mean[c]))
			return eddh_fail(err, EDDH_BAD_ARGUMENT, "mean of channel %d is not finite", c);
		if (!isfinite(prep->std[c]) || !(prep->std[c] > 0))
			return eddh_fail(err, EDDH_BAD_ARGUMENT, "standard deviation of channel %d is not positive", c);
	}
	return EDDH_OK;
}

static bool
parse_int(const char *text, int *value)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end != '\0' || n < INT_MIN || n > INT_MAX)
		return false;
	*value = (int) n;
	return true;
}

/* Three numbers, or one for all three, separated by commas or spaces. */
static bool
parse_triple(const char *text, float value[3])
{
	int n = 0;

	for (text += strspn(text, " ,"); *text != '\0'; text += strspn(text, " ,"))
	{
		char *end;
		float number = strtof(text, &end);

		if (n == 3 || end == text || !isfinite(number))
			return false;
		value[n++] = number;
		text = end;
	}
	if (n == 1)
		value[1] = value[2] = value[0];
	return n == 1 || n == 3;
}

/* The value comes from a stranger's file: it is shown cut, and without bytes that a terminal or an encoding could stumble over. */
static eddh_code
bad_value(eddh_error *err, const char *key, const char *value, const char *wanted)
{
	char shown[41];
	size_t n = 0;

	for (; n < sizeof(shown) - 1 && value[n] != '\0'; n++)
		shown[n] = value[n] >= ' ' && value[n] <= '~' ? value[n] : '?';
	shown[n] = '\0';
	return eddh_fail(err, EDDH_BAD_DATA, "metadata %s is \"%s\", but should be %s", key, shown, wanted);
}

eddh_code
image_prep_parse(const char *(*get)(void *arg, const char *key), void *arg, image_prep *out, eddh_error *err)
{
	image_prep prep = { .resize = IMAGE_SQUASH, .std = { 1, 1, 1 } };
	const char *value = get(arg, KEY_SIZE);
	char wanted[64];

	if (value == NULL)
	{
		eddh_fail(err, EDDH_BAD_DATA, "metadata %s is missing", KEY_SIZE);
		eddh_hint(err, "It is the side in pixels of the square picture that the network takes, for example 224.");
		return EDDH_BAD_DATA;
	}
	if (!parse_int(value, &prep.size) || prep.size < 1 || prep.size > IMAGE_MAX_SIDE)
	{
		snprintf(wanted, sizeof(wanted), "a whole number in 1..%d", IMAGE_MAX_SIDE);
		return bad_value(err, KEY_SIZE, value, wanted);
	}
	if ((value = get(arg, KEY_RESIZE)) != NULL)
	{
		if (strcmp(value, "crop") == 0)
			prep.resize = IMAGE_CROP;
		else if (strcmp(value, "squash") != 0)
			return bad_value(err, KEY_RESIZE, value, "squash or crop");
	}
	prep.resize_short = prep.size;
	if ((value = get(arg, KEY_SHORT)) != NULL &&
		(!parse_int(value, &prep.resize_short) || prep.resize_short < prep.size || prep.resize_short > MAX_SHORT))
	{
		snprintf(wanted, sizeof(wanted), "a whole number in %d (%s)..%d", prep.size, KEY_SIZE, MAX_SHORT);
		return bad_value(err, KEY_SHORT, value, wanted);
	}
	if ((value = get(arg, KEY_CHANNELS)) != NULL)
	{
		if (strcmp(value, "BGR") == 0)
			prep.bgr = true;
		else if (strcmp(value, "RGB") != 0)
			return bad_value(err, KEY_CHANNELS, value, "RGB or BGR");
	}
	if ((value = get(arg, KEY_MEAN)) != NULL && !parse_triple(value, prep.mean))
		return bad_value(err, KEY_MEAN, value, "three numbers, or one for all channels, on the scale 0..255");
	if ((value = get(arg, KEY_STD)) != NULL &&
		(!parse_triple(value, prep.std) || !(prep.std[0] > 0 && prep.std[1] > 0 && prep.std[2] > 0)))
		return bad_value(err, KEY_STD, value, "three positive numbers, or one for all channels, on the scale 0..255");
	*out = prep;
	return EDDH_OK;
}

eddh_code
image_prep_format(const image_prep *prep,
				  eddh_code (*put)(void *arg, const char *key, const char *value, eddh_error *err), void *arg,
				  eddh_error *err)
{
	char value[64];
	eddh_code code = image_prep_check(prep, err);

	if (code != EDDH_OK)
		return code;
	snprintf(value, sizeof(value), "%d", prep->size);
	code = put(arg, KEY_SIZE, value, err);
	if (code == EDDH_OK)
		code = put(arg, KEY_RESIZE, prep->resize == IMAGE_CROP ? "crop" : "squash", err);
	if (code == EDDH_OK && prep->resize == IMAGE_CROP)
	{
		snprintf(value, sizeof(value), "%d", prep->resize_short);
		code = put(arg, KEY_SHORT, value, err);
	}
	if (code == EDDH_OK)
		code = put(arg, KEY_CHANNELS, prep->bgr ? "BGR" : "RGB", err);
	/* Nine digits bring a float back bit for bit. */
	if (code == EDDH_OK)
	{
		snprintf(value, sizeof(value), "%.9g,%.9g,%.9g", prep->mean[0], prep->mean[1], prep->mean[2]);
		code = put(arg, KEY_MEAN, value, err);
	}
	if (code == EDDH_OK)
	{
		snprintf(value, sizeof(value), "%.9g,%.9g,%.9g", prep->std[0], prep->std[1], prep->std[2]);
		code = put(arg, KEY_STD, value, err);
	}
	return code;
}
