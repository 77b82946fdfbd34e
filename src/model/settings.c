/* settings.c: what a session can set. */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "model/model.h"
#include "report.h"

char *ModelSettingModel = NULL;
char *ModelSettingBackbone = NULL;
static int max_pixels = (int) IMAGE_MAX_PIXELS_DEFAULT;
static int max_scans = IMAGE_MAX_SCANS_DEFAULT;

void
ModelInit(void)
{
	DefineCustomStringVariable("eddh.model", "Model that eddh_encode uses where none is named.", NULL,
							   &ModelSettingModel, "", PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("eddh.backbone", "Backbone that eddh_train and eddh_features use where none is named.",
							   "Where this is empty too, it is " MODEL_DEFAULT_BACKBONE ".", &ModelSettingBackbone, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);

	/* A superuser may raise these: they protect the server from strangers' pictures, not the user from himself. */
	DefineCustomIntVariable("eddh.max_pixels", "Largest width times height of a picture that is decoded.",
							"A small file can claim enormous dimensions.", &max_pixels, (int) IMAGE_MAX_PIXELS_DEFAULT,
							1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("eddh.max_scans", "Largest number of scans of a progressive JPEG that is decoded.",
							"A small file can contain thousands, each as costly as the whole picture.", &max_scans,
							IMAGE_MAX_SCANS_DEFAULT, 1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
}

image_limits
ModelImageLimits(void)
{
	return (image_limits){ .max_pixels = (uint64_t) max_pixels,
						   .max_scans = max_scans,
						   .max_memory = IMAGE_MAX_MEMORY_DEFAULT,
						   .stop = &EddhInterruptStop };
}
