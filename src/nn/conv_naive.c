/* conv_naive.c: convolution as its formula says, summed in double; what every fast way is compared with. */
#include "nn/kernels.h"

void
nn_conv_forward_naive(const nn_window *g, int k, int groups, int n, const float *x, const float *w, const float *b,
					  nn_act act, float *y)
{
	int cg = g->c / groups;
	int kg = k / groups;

	for (int i = 0; i < n; i++)
		for (int o = 0; o < k; o++)
			for (int oy = 0; oy < g->oh; oy++)
				for (int ox = 0; ox < g->ow; ox++, y++)
				{
					double sum = b != NULL ? b[o] : 0.0;

					for (int c = 0; c < cg; c++)
						for (int ky = 0; ky < g->kh; ky++)
							for (int kx = 0; kx < g->kw; kx++)
							{
								int iy = oy * g->sh - g->ph0 + ky * g->dh;
								int ix = ox * g->sw - g->pw0 + kx * g->dw;
								size_t channel = (size_t) i * g->c + (o / kg) * cg + c;

								if (iy >= 0 && iy < g->h && ix >= 0 && ix < g->w)
									sum += (double) x[(channel * g->h + iy) * g->w + ix] *
										   (double) w[(((size_t) o * cg + c) * g->kh + ky) * g->kw + kx];
							}
					*y = (float) sum;
					nn_act_forward(act, 1, y, y);
				}
}
