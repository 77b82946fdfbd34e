/*
 * cut.c: how a set of codes is cut in two: 2-means in Hamming space on a sample, then a cut at the wanted rank. Plain arrays of
 * records, no pages.
 */
#include "postgres.h"

#include "index/ham.h"
#include "miscadmin.h"

#define SAMPLE       256
#define ROUNDS       4
#define VALLEY_BITS  8  /* fewer differing bits are no distance between clusters */
#define VALLEY_SHARE 8  /* the valley is a quarter of the way, in the middle */
#define VALLEY_RARE  64 /* and holds less than this part of the codes */
#define MIN_SHARE    4  /* neither side of an insert's split gets less than 1 / MIN_SHARE */

static int
CompareFolded(const HamShape *shape, const uint64 *a, const uint64 *b)
{
	for (uint32 w = 0; w < shape->fold; w++)
		if (a[w] != b[w])
			return a[w] < b[w] ? -1 : 1;
	return 0;
}

static uint32
Project(const HamShape *shape, const HamCut *cut, const uint64 *folded)
{
	uint32 sum = 0;

	for (uint32 w = 0; w < shape->fold; w++)
		sum += __builtin_popcountll((folded[w] ^ cut->origin[w]) & cut->mask[w]);
	return sum;
}

/* 0 left, 1 right. */
int
HamCutSide(const HamShape *shape, const HamCut *cut, const uint64 *folded)
{
	uint32 v = Project(shape, cut, folded);

	if (v != cut->at)
		return v > cut->at;
	return CompareFolded(shape, folded, cut->tie) > 0;
}

/* The bit-wise majority of folded codes, count * fold words. */
static void
Majority(const HamShape *shape, const uint64 *codes, const uint8 *side, int wanted, int count, uint64 *centre)
{
	uint16 ones[HAM_FOLD_WORDS * 64];
	int members = 0;

	memset(ones, 0, sizeof(ones));
	for (int i = 0; i < count; i++)
	{
		if (side != NULL && side[i] != wanted)
			continue;
		members++;
		for (uint32 w = 0; w < shape->fold; w++)
		{
			uint64 word = codes[(Size) i * shape->fold + w];
			uint16 *at = ones + w * 64;

			for (int bit = 0; bit < 64; bit++)
				at[bit] += (word >> bit) & 1;
		}
	}
	if (members == 0)
		return;
	for (uint32 w = 0; w < shape->fold; w++)
	{
		centre[w] = 0;
		for (int bit = 0; bit < 64; bit++)
			if (2 * ones[w * 64 + bit] > members)
				centre[w] |= UINT64CONST(1) << bit;
	}
}

/* At most `room` folded codes, evenly spaced. */
static int
Sample(const HamShape *shape, const uint64 *records, Size count, int room, uint64 *out)
{
	int n = Min(count, room);

	for (int i = 0; i < n; i++)
		HamFold(shape, HamRecordAt(shape, records, count * i / n), out + (Size) i * shape->fold);
	return n;
}

void
HamMajority(const HamShape *shape, const uint64 *records, Size count, uint64 *centre)
{
	uint64 codes[SAMPLE * HAM_FOLD_WORDS];

	Majority(shape, codes, NULL, 0, Sample(shape, records, count, SAMPLE, codes), centre);
}

/* Farthest code of the sample from `from`. */
static const uint64 *
Farthest(const HamShape *shape, const uint64 *codes, int n, const uint64 *from)
{
	const uint64 *best = codes;
	uint32 bestDistance = 0;

	for (int i = 0; i < n; i++)
	{
		const uint64 *code = codes + (Size) i * shape->fold;
		uint32 distance = HamFoldDistance(shape, code, from);

		if (distance > bestDistance)
		{
			bestDistance = distance;
			best = code;
		}
	}
	return best;
}

/* Two centres, by 2-means on a sample: the direction of the cut. */
static void
ChooseDirection(const HamShape *shape, const uint64 *records, Size count, HamCut *cut)
{
	uint64 codes[SAMPLE * HAM_FOLD_WORDS];
	uint8 side[SAMPLE];
	int n = Sample(shape, records, count, SAMPLE, codes);
	uint64 a[HAM_FOLD_WORDS] = { 0 };
	uint64 b[HAM_FOLD_WORDS] = { 0 };
	Size bytes = shape->fold * sizeof(uint64);

	memcpy(a, Farthest(shape, codes, n, codes + (Size) (n / 2) * shape->fold), bytes);
	memcpy(b, Farthest(shape, codes, n, a), bytes);
	for (int round = 0; round < ROUNDS; round++)
	{
		for (int i = 0; i < n; i++)
		{
			const uint64 *code = codes + (Size) i * shape->fold;

			side[i] = HamFoldDistance(shape, code, a) > HamFoldDistance(shape, code, b);
		}
		Majority(shape, codes, side, 0, n, a);
		Majority(shape, codes, side, 1, n, b);
	}
	memset(cut, 0, sizeof(*cut));
	for (uint32 w = 0; w < shape->fold; w++)
	{
		cut->origin[w] = a[w];
		cut->mask[w] = a[w] ^ b[w];
	}
}

static void
Swap(const HamShape *shape, uint64 *records, Size i, Size j)
{
	uint64 *a = HamRecordAt(shape, records, i);
	uint64 *b = HamRecordAt(shape, records, j);

	for (uint32 w = 0; w < HamRecordWords(shape); w++)
	{
		uint64 word = a[w];

		a[w] = b[w];
		b[w] = word;
	}
}

/* Orders records by folded code so far that the first `rank` are the smallest. */
static void
Select(const HamShape *shape, uint64 *records, Size count, Size rank)
{
	Size low = 0;
	Size high = count;

	while (high - low > 1)
	{
		uint64 pivot[HAM_FOLD_WORDS];
		Size less = low;
		Size i = low;
		Size greater = high;

		CHECK_FOR_INTERRUPTS();
		HamFold(shape, HamRecordAt(shape, records, low + (high - low) / 2), pivot);
		while (i < greater)
		{
			uint64 folded[HAM_FOLD_WORDS];
			int order;

			HamFold(shape, HamRecordAt(shape, records, i), folded);
			order = CompareFolded(shape, folded, pivot);
			if (order < 0)
				Swap(shape, records, less++, i++);
			else if (order > 0)
				Swap(shape, records, i, --greater);
			else
				i++;
		}
		if (rank <= less)
			high = less;
		else if (rank >= greater)
			low = greater;
		else
			return;
	}
}

/*
 * Do the projections fall into two heaps with next to nothing between? Then a leaf across the cut would have useless bounds, and every
 * search would visit it: such a cut is worth half a leaf of unused room.
 */
static bool
IsValley(const Size *histogram, uint32 maskBits, Size count, Size natural, Size unit)
{
	Size between = 0;

	if (unit == 0 || maskBits < VALLEY_BITS || Min(natural, count - natural) < unit / 2)
		return false;
	for (uint32 v = maskBits / 2 - maskBits / VALLEY_SHARE; v <= maskBits / 2 + maskBits / VALLEY_SHARE; v++)
		between += histogram[v];
	return between <= count / VALLEY_RARE;
}

/* The rank to cut at: near where 2-means would, and such that both sides are whole numbers of units. unit 0: an insert's split. */
static Size
WantedRank(Size count, Size natural, Size unit)
{
	Size units;
	Size left;

	if (unit == 0)
		return Max(1, Min(Max(natural, count / MIN_SHARE), count - count / MIN_SHARE));
	units = (count + unit - 1) / unit;
	left = (natural * units + count / 2) / count;
	/* At least an eighth on each side keeps the tree, and recursion on it, shallow. */
	left = Max(Max(1, units / 8), Min(left, units - Max(1, units / 8)));
	return (left * count + units / 2) / units;
}

/*
 * Cuts at least two records of distinct codes: moves those of the left side to the front and returns their number, 1 to count - 1.
 * With unit > 0 and count > unit, pieces of at most `unit` records remain possible on both sides, without waste. All records
 * stand where the cut says, except codes that are equal after folding.
 */
Size
HamCutRecords(const HamShape *shape, uint64 *records, Size count, Size unit, HamCut *cut)
{
	uint16 *values = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(uint16));
	Size histogram[HAM_FOLD_WORDS * 64 + 1];
	Size natural = 0;
	Size rank;
	Size below = 0;
	Size less = 0;
	Size i = 0;
	Size greater = count;
	uint32 maskBits = 0;
	uint32 at = 0;

	ChooseDirection(shape, records, count, cut);
	for (uint32 w = 0; w < shape->fold; w++)
		maskBits += __builtin_popcountll(cut->mask[w]);
	memset(histogram, 0, sizeof(histogram));
	for (i = 0; i < count; i++)
	{
		uint64 folded[HAM_FOLD_WORDS];

		HamFold(shape, HamRecordAt(shape, records, i), folded);
		values[i] = Project(shape, cut, folded);
		histogram[values[i]]++;
	}
	for (uint32 v = 0; v <= maskBits / 2; v++)
		natural += histogram[v];
	rank = IsValley(histogram, maskBits, count, natural, unit) ? natural : WantedRank(count, natural, unit);
	while (below + histogram[at] < rank)
		below += histogram[at++];
	cut->at = at;

	/* Three parts: below `at`, at it, above. */
	i = 0;
	while (i < greater)
	{
		uint16 value = values[i];

		if (value < at)
		{
			Swap(shape, records, less, i);
			values[i++] = values[less];
			values[less++] = value;
		}
		else if (value > at)
		{
			Swap(shape, records, i, --greater);
			values[i] = values[greater];
			values[greater] = value;
		}
		else
			i++;
	}
	Select(shape, HamRecordAt(shape, records, less), greater - less, rank - less);
	{
		/* The largest code on the left side of the tie decides it. */
		uint64 folded[HAM_FOLD_WORDS];

		HamFold(shape, HamRecordAt(shape, records, less), cut->tie);
		for (i = less; i < rank; i++)
		{
			HamFold(shape, HamRecordAt(shape, records, i), folded);
			if (CompareFolded(shape, folded, cut->tie) > 0)
				memcpy(cut->tie, folded, shape->fold * sizeof(uint64));
		}
	}
	pfree(values);
	return rank;
}
