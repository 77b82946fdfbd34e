/* binary.c: Add and Mul of two tensors, the second possibly broadcast or constant. */
#include "nn/kernels.h"

#include "nn/simd.h"
#include "nn/vector.h"

/* Where sample i, channel j of b begins, and whether it is one number for the whole plane. */
NN_INLINE size_t
b_offset(nn_broadcast how, int i, int j, int c, int hw)
{
	switch (how)
	{
		case NN_SAME:
			return ((size_t) i * c + j) * hw;
		case NN_CHANNEL:
			return (size_t) i * c + j;
		case NN_CONST_SAME:
			return (size_t) j * hw;
		case NN_CONST_CHANNEL:
			return j;
		case NN_CONST_SCALAR:
			break;
	}
	return 0;
}

NN_INLINE bool
b_is_plane(nn_broadcast how)
{
	return how == NN_SAME || how == NN_CONST_SAME;
}

NN_INLINE void
nn_binary_forward_body(bool mul, nn_broadcast how, int n, int c, int hw, const float *a, const float *b, float *y)
{
	if (how == NN_SAME)
	{
		/* One run over everything: planes may be a single pixel. */
		hw *= c;
		c = 1;
	}
	for (int i = 0; i < n; i++)
		for (int j = 0; j < c; j++, a += hw, y += hw)
		{
			const float *from = b + b_offset(how, i, j, c, hw);

			if (b_is_plane(how))
			{
				if (mul)
					for (int p = 0; p < hw; p++)
						y[p] = a[p] * from[p];
				else
					for (int p = 0; p < hw; p++)
						y[p] = a[p] + from[p];
			}
			else
			{
				float v = *from;

				if (mul)
					for (int p = 0; p < hw; p++)
						y[p] = a[p] * v;
				else
					for (int p = 0; p < hw; p++)
						y[p] = a[p] + v;
			}
		}
}
NN_SIMD_KERNEL(extern, nn_binary_forward,
			   (bool mul, nn_broadcast how, int n, int c, int hw, const float *a, const float *b, float *y),
			   (mul, how, n, c, hw, a, b, y))

void
nn_binary_backward(bool mul, nn_broadcast how, int n, int c, int hw, const float *a, const float *b, const float *dy,
				   float *da, float *db)
{
	bool constant = how == NN_CONST_SAME || how == NN_CONST_CHANNEL || how == NN_CONST_SCALAR;

	for (int i = 0; i < n; i++)
		for (int j = 0; j < c; j++, dy += hw)
		{
			size_t at = b_offset(how, i, j, c, hw);
			const float *aj =
				mul ? a + ((size_t) i * c + j) * hw : NULL; /* Add reads neither input: both may be NULL */

			if (da != NULL)
			{
				for (int p = 0; p < hw; p++)
					da[p] = mul ? dy[p] * b[b_is_plane(how) ? at + p : at] : dy[p];
				da += hw;
			}
			if (db == NULL)
				continue;
			if (!b_is_plane(how))
			{
				float sum = mul ? nn_dot((size_t) hw, dy, aj) : nn_sum((size_t) hw, dy);

				db[at] = constant ? db[at] + sum : sum;
			}
			else
				for (int p = 0; p < hw; p++)
				{
					float d = mul ? dy[p] * aj[p] : dy[p];

					db[at + p] = constant ? db[at + p] + d : d;
				}
		}
}
