/* options.c: reading and writing the options of a training. */
#include "postgres.h"

#include <math.h>

#include "common/shortest_dec.h"
#include "lib/stringinfo.h"
#include "report.h"
#include "train/options.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* How far the rate falls where the user does not say. */
#define RATE_FALL 0.02

#define HELD_OUT_MOST 1000.0

/* Mini-batches that a hash layer that learns alone should see. */
#define STEPS_LEAST 480

int TrainThreads = 2;
int TrainCheckpointInterval = 180;

/* Where the right default depends on what is trained, and by which method, Complete replaces the one given here. */
static const hash_param general[OPTION_COUNT + 1] = {
	[OPTION_TRAIN_LAYERS] = { "train_layers", TRAIN_HASH, 0, 0, "hash|fc|all",
							  "what is learned: the hash layer alone, with the fully connected layers before it, or the whole network" },
	[OPTION_HEAD] = { "head", HEAD_AUTO, 0, 0, "auto|linear|anchors",
					  "what the hash layer sees: the features, or their kernel values to anchors; auto: anchors for eddh, sdh and ksh" },
	[OPTION_ANCHORS] = { "anchors", 2000, 1, 20000, NULL, "anchors of the kernel", .whole = true },
	[OPTION_KERNEL_WIDTH] = { "kernel_width", 0.5, 1e-3, 1e3, NULL,
							  "spread of the kernel, times the median distance of two anchors" },
	[OPTION_EPOCHS] = { "epochs", 30, 1, 1000000, NULL,
						"passes over the pictures; an untrained backbone: 12, all of a trained one: 3; a hash layer alone: more where 30 are fewer than 480 mini-batches",
						.whole = true },
	[OPTION_HEAD_EPOCHS] = { "head_epochs", -1, -1, 1000000, NULL,
							 "where the backbone is trained and more than the hash layer learns: passes, before those, of the hash layer alone over the features as they came, and, with anchors, as many after; -1: 30",
							 .whole = true },
	[OPTION_BATCH] = { "batch", 128, 1, 4096, NULL, "pictures in a mini-batch; all of a trained backbone: 32",
					   .whole = true },
	[OPTION_RATE] = { "rate", 0.02, 1e-9, 100, NULL,
					  "learning rate at the beginning, of the hash layer alone; all of a trained backbone: 0.01; others: 0.02" },
	[OPTION_RATE_LAST] = { "rate_last", 0.0004, 1e-12, 100, NULL,
						   "learning rate at the end; spaced by logarithm in between; where only rate is given: 0.02 of it" },
	[OPTION_MOMENTUM] = { "momentum", 0.9, 0, 0.9999, NULL, "of stochastic gradient descent" },
	[OPTION_WEIGHT_DECAY] = { "weight_decay", 5e-4, 0, 1, NULL, "of weights, not of biases" },
	[OPTION_CLIP_NORM] = { "clip_norm", 10, 0, 1e9, NULL, "longest gradient; 0 = no limit" },
	[OPTION_FLIP] = { "flip", 0, 0, 0, "false|true", "show pictures mirrored in half of the epochs" },
	[OPTION_CROP] = { "crop", 0, 0, 0.75, NULL,
					  "show a random square part of a picture, stretched, in each epoch: its side is up to this share shorter" },
	[OPTION_DECODE] = { "decode", DECODE_AUTO, 0, 0, "auto|once|always",
						"where pictures lie while they are learned from: unpacked in a temporary file, or as the files they are, decoded whenever they are shown; auto: as files where that takes at most half the space and they have at most sixteen times the pixels the network sees; the model is the same" },
	[OPTION_HOLDOUT] = { "holdout", 0.1, 0, 0.5, NULL,
						 "share of labelled pictures (1000 at most) kept out of training to measure quality" },
	[OPTION_SEED] = { "seed", 1, 0, 9007199254740991.0, NULL, "of everything random", .whole = true },
	[OPTION_THREADS] = { "threads", 2, 1, 64, NULL, "threads that compute; where not given: eddh.train_threads",
						 .whole = true },
	[OPTION_REPLACE] = { "replace", 0, 0, 0, "false|true", "an existing model of this name is replaced at the end" },
};

void
TrainInit(void)
{
	DefineCustomIntVariable("eddh.train_threads", "Threads of a job's worker: training, eddh_encode_table.",
							"The same seed gives the same model for the same number of threads.", &TrainThreads, 2, 1,
							64, PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("eddh.checkpoint_interval", "How often a training keeps what it has learned.",
							"eddh_resume() goes on from there. 0: after every mini-batch; -1: never.",
							&TrainCheckpointInterval, 180, -1, 86400, PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
}

/* A scalar as text. */
static char *
ValueText(const char *key, const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvString:
			return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvNumeric:
			return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
		case jbvBool:
			return pstrdup(value->val.boolean ? "true" : "false");
		default:
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("option \"%s\" must be a number, a string or a boolean", key)));
	}
	return NULL;
}

const hash_param *
TrainOptionsGeneral(void)
{
	return general;
}

static char *
KnownKeys(const hash_method *method)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const hash_param *p = general; p->name != NULL; p++)
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", p->name);
	for (const hash_param *p = method->params; p->name != NULL; p++)
		appendStringInfo(&list, ", %s", p->name);
	return list.data;
}

static void
ReadOne(TrainOptions *options, const hash_method *method, const char *key, const JsonbValue *value)
{
	const hash_param *param = hash_param_find(general, key), *first = general;
	double *values = options->value, number;
	bool *given = options->given;
	eddh_error err;

	if (param == NULL)
	{
		param = hash_param_find(method->params, key);
		first = method->params;
		values = options->method;
		given = options->method_given;
	}
	if (param == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("unknown option \"%s\" of a training with method %s", key, method->name),
						errhint("Known options are: %s.", KnownKeys(method))));
	EDDH_CHECK(hash_param_parse(param, ValueText(key, value), &number, &err), &err, NULL);
	values[param - first] = number;
	given[param - first] = true;
}

/* Pictures with several labels want a wider kernel, whatever the method. */
static const hash_setting several_labels_all[] = { { "kernel_width", 0.7 }, { NULL } };

/* What was given stays. The rate at the end goes with the one at the beginning. */
static void
Override(TrainOptions *options, const hash_method *method, const hash_setting *settings)
{
	for (; settings != NULL && settings->name != NULL; settings++)
	{
		const hash_param *param = hash_param_find(general, settings->name);

		if (param != NULL && !options->given[param - general])
			options->value[param - general] = settings->value;
		if (param != NULL)
			continue;
		param = hash_param_find(method->params, settings->name);
		if (param == NULL)
			elog(ERROR, "method %s has no option \"%s\"", method->name, settings->name);
		if (!options->method_given[param - method->params])
			options->method[param - method->params] = settings->value;
	}
	if (!options->given[OPTION_RATE_LAST])
		options->value[OPTION_RATE_LAST] = options->value[OPTION_RATE] * RATE_FALL;
}

/*
 * Fills in what was not given. A whole network that has learned is tuned in few passes and small batches, for what counts is the number of steps, and they cost
 * the same (docs/QUALITY.md has the trials).
 */
static void
Complete(TrainOptions *options, const hash_method *method, bool backbone_trained)
{
	double *value = options->value;
	const bool *given = options->given;
	bool all, tuned;

	for (int i = 0; i < OPTION_COUNT; i++)
		if (!given[i])
			value[i] = general[i].standard;
	if (!given[OPTION_THREADS])
		value[OPTION_THREADS] = TrainThreads;
	if (!given[OPTION_TRAIN_LAYERS] && !backbone_trained && method->needs_net)
		value[OPTION_TRAIN_LAYERS] = TRAIN_ALL;
	all = method->needs_net && value[OPTION_TRAIN_LAYERS] == TRAIN_ALL;
	tuned = all && backbone_trained;
	if (!given[OPTION_EPOCHS] && method->needs_net && !backbone_trained)
		value[OPTION_EPOCHS] = 12;
	/* fc as hash, which it is for a backbone without such layers. */
	Override(options, method, all ? NULL : method->standards);
	if (tuned)
		Override(options, method,
				 (const hash_setting[]){ { "epochs", 3 }, { "batch", 32 }, { "rate", 0.01 }, { NULL } });
}

TrainOptions *
TrainOptionsRead(Datum given, const hash_method *method, bool backbone_trained)
{
	TrainOptions *options = palloc0(sizeof(TrainOptions));
	Jsonb *object = DatumGetJsonbP(given);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	char *key = NULL;

	if (!JB_ROOT_IS_OBJECT(object))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object"),
						errhint("For example: '{\"epochs\": 30}'.")));
	options->method = palloc(sizeof(double) * Max(1, hash_param_count(method)));
	options->method_given = palloc0(sizeof(bool) * Max(1, hash_param_count(method)));
	for (int i = 0; i < hash_param_count(method); i++)
		options->method[i] = method->params[i].standard;

	iterator = JsonbIteratorInit(&object->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
			ReadOne(options, method, key, &value);
	}
	Complete(options, method, backbone_trained);
	if (options->value[OPTION_HEAD] == HEAD_ANCHORS && method->no_anchors)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("method %s learns from the features themselves and has no anchors", method->name)));
	if (options->value[OPTION_HEAD] == HEAD_ANCHORS && method->needs_net &&
		options->value[OPTION_TRAIN_LAYERS] != TRAIN_HASH && TrainOptionsHeadEpochs(options, backbone_trained) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("anchors stand between features and a hash layer that learns alone, which here it does not"),
				 errhint("Use a backbone that is trained, and head_epochs other than 0.")));
	return options;
}

void
TrainOptionsFit(TrainOptions *options, const hash_method *method, bool backbone_trained, double pictures,
				bool several_labels)
{
	double *value = options->value;

	if (several_labels)
		Override(options, method, several_labels_all);
	if (method->needs_net && (!backbone_trained || value[OPTION_TRAIN_LAYERS] == TRAIN_ALL))
		return;
	if (several_labels)
		Override(options, method, method->several);
	if (!options->given[OPTION_EPOCHS] && method->needs_net)
		value[OPTION_EPOCHS] =
			Max(value[OPTION_EPOCHS], ceil(STEPS_LEAST / ceil(Max(pictures, 1) / value[OPTION_BATCH])));
}

size_t
TrainOptionsHeldOut(const TrainOptions *options, size_t n, int bits)
{
	size_t held = (size_t) Min(HELD_OUT_MOST, options->value[OPTION_HOLDOUT] * (double) n);

	/* Few pictures are better used to learn from. */
	return Min(held, n - Min(n, (size_t) bits));
}

static void
WriteOne(StringInfo json, const hash_param *param, double value)
{
	appendStringInfo(json, "%c\"%s\": ", json->len > 0 ? ',' : '{', param->name);
	if (param->choices == NULL)
		appendStringInfoString(json, double_to_shortest_decimal(value));
	else
	{
		char *choices = pstrdup(param->choices);
		char *choice = strtok(choices, "|");

		for (int i = 0; i < (int) value; i++)
			choice = strtok(NULL, "|");
		if (strcmp(param->choices, "false|true") == 0)
			appendStringInfoString(json, choice);
		else
			escape_json(json, choice);
	}
}

/* Enough for the hash layer to settle; they cost seconds. */
#define HEAD_EPOCHS_STANDARD 30

int
TrainOptionsHeadEpochs(const TrainOptions *options, bool backbone_trained)
{
	int epochs = (int) options->value[OPTION_HEAD_EPOCHS];

	if (!backbone_trained || options->value[OPTION_TRAIN_LAYERS] == TRAIN_HASH)
		return 0;
	return epochs < 0 ? HEAD_EPOCHS_STANDARD : epochs;
}

TrainOptions *
TrainOptionsHead(const TrainOptions *options, const hash_method *method)
{
	TrainOptions *head = palloc(sizeof(TrainOptions));

	*head = *options;
	head->value[OPTION_TRAIN_LAYERS] = TRAIN_HASH;
	head->value[OPTION_EPOCHS] = TrainOptionsHeadEpochs(options, true);
	head->given[OPTION_TRAIN_LAYERS] = head->given[OPTION_EPOCHS] = true;
	/* What was given for these was meant for the network. */
	head->given[OPTION_BATCH] = head->given[OPTION_RATE] = head->given[OPTION_RATE_LAST] = false;
	Complete(head, method, true);
	return head;
}

TrainLayers
TrainOptionsLayers(const TrainOptions *options, const hash_method *method)
{
	return method->needs_net ? (TrainLayers) options->value[OPTION_TRAIN_LAYERS] : TRAIN_HASH;
}

bool
TrainOptionsLearnsAgain(const TrainOptions *options, const hash_method *method, bool backbone_trained)
{
	return TrainOptionsHeadEpochs(options, backbone_trained) > 0 && TrainOptionsAnchors(options, method) > 0;
}

int
TrainOptionsAnchors(const TrainOptions *options, const hash_method *method)
{
	TrainHead head = (TrainHead) options->value[OPTION_HEAD];

	if (head == HEAD_LINEAR || (head == HEAD_AUTO && !method->anchors_by_default))
		return 0;
	return (int) options->value[OPTION_ANCHORS];
}

Datum
TrainOptionsWrite(const TrainOptions *options, const hash_method *method)
{
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < OPTION_COUNT; i++)
		WriteOne(&json, &general[i], options->value[i]);
	for (int i = 0; i < hash_param_count(method); i++)
		WriteOne(&json, &method->params[i], options->method[i]);
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}
