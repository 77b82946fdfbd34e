/* seeds_image.c: seeds_image FOLDER writes small pictures of every kind into it, for fuzz_image to begin with. */
#include "make_image.h"

static void
save(const char *folder, const char *name, encoded e)
{
	char path[1024];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(e.bytes, 1, e.len, file) != e.len || fclose(file) != 0)
	{
		perror(path);
		exit(1);
	}
	free(e.bytes);
}

static void
save_jpegs(const char *folder, const uint8_t *rgb, const encoded *exif)
{
	int n;
	jpeg_scan_info *scans = make_scan_script(0, &n);

	save(folder, "baseline.jpg", make_jpeg(rgb, 24, 16, (jpeg_options){ .quality = 70, .exif = exif }));
	save(folder, "restart.jpg",
		 make_jpeg(rgb, 24, 16, (jpeg_options){ .quality = 70, .h_sampling = 2, .restart_rows = 1 }));
	save(
		folder, "progressive.jpg",
		make_jpeg(rgb, 24, 16, (jpeg_options){ .quality = 70, .h_sampling = 2, .v_sampling = 2, .progressive = true }));
	save(folder, "grey.jpg", make_jpeg(rgb, 24, 16, (jpeg_options){ .space = JCS_GRAYSCALE, .quality = 70 }));
	save(folder, "ycck.jpg",
		 make_jpeg(rgb, 16, 12, (jpeg_options){ .space = JCS_YCCK, .quality = 70, .h_sampling = 2 }));
	save(folder, "arithmetic.jpg", make_jpeg(rgb, 24, 16, (jpeg_options){ .quality = 70, .arithmetic = true }));
	save(folder, "scaled.jpg", make_jpeg(rgb, 160, 144, (jpeg_options){ .quality = 20, .v_sampling = 2 }));
	save(folder, "scans.jpg", make_jpeg(rgb, 16, 16, (jpeg_options){ .quality = 50, .scans = scans, .n_scans = n }));
	free(scans);
}

static void
save_pngs(const char *folder, const uint8_t *rgb, const encoded *exif)
{
	static const png_color colours[4] = { { 255, 0, 0 }, { 0, 255, 0 }, { 9, 9, 9 }, { 0, 0, 255 } };
	static const png_byte alpha[2] = { 0, 128 };

	save(folder, "rgb.png",
		 make_png(rgb, 24, 16, 72, (png_options){ .colour_type = PNG_COLOR_TYPE_RGB, .exif = exif }));
	save(folder, "rgba16.png",
		 make_png(rgb, 9, 9, 72,
				  (png_options){ .colour_type = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 16, .interlaced = true }));
	save(folder, "grey2.png",
		 make_png(rgb, 24, 16, 6, (png_options){ .colour_type = PNG_COLOR_TYPE_GRAY, .depth = 2 }));
	save(folder, "palette.png",
		 make_png(rgb, 24, 16, 6,
				  (png_options){ .colour_type = PNG_COLOR_TYPE_PALETTE,
								 .depth = 2,
								 .interlaced = true,
								 .palette = colours,
								 .n_palette = 4,
								 .palette_alpha = alpha,
								 .n_palette_alpha = 2 }));
}

static void
save_webps(const char *folder, const uint8_t *rgb, const encoded *exif)
{
	save(folder, "lossy.webp", make_webp(rgb, 24, 16, 3, 60, exif));
	save(folder, "lossless.webp", make_webp(rgb, 24, 16, 3, 0, NULL));
	save(folder, "alpha.webp", make_webp(rgb, 16, 12, 4, 60, NULL));
	save(folder, "lossless-alpha.webp", make_webp(rgb, 16, 12, 4, 0, NULL));
}

int
main(int argc, char **argv)
{
	uint8_t *rgb = make_gradient(160, 144);
	encoded exif = make_exif(6, true);

	if (argc != 2)
	{
		fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
		return 2;
	}
	save_jpegs(argv[1], rgb, &exif);
	save_pngs(argv[1], rgb, &exif);
	save_webps(argv[1], rgb, &exif);
	free(exif.bytes);
	free(rgb);
	return 0;
}
