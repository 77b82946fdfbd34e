/* methods.c: the table of hashing methods as rows. */
#include "postgres.h"

#include <math.h>

#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "hash/hash.h"
#include "train/options.h"

PG_FUNCTION_INFO_V1(eddh_methods);

/* The i-th of "a|b|c". */
static char *
Choice(const char *choices, int i)
{
	const char *end;

	while (i-- > 0 && strchr(choices, '|') != NULL)
		choices = strchr(choices, '|') + 1;
	end = strchr(choices, '|');
	return end == NULL ? pstrdup(choices) : pnstrdup(choices, end - choices);
}

/* several: by parameter, the default where pictures have several labels. */
static void
AppendParameters(StringInfo json, const hash_param *params, const double *several)
{
	for (const hash_param *param = params; param->name != NULL; param++)
	{
		if (json->len > 1)
			appendStringInfoChar(json, ',');
		escape_json(json, param->name);
		appendStringInfoString(json, ": {\"default\": ");
		if (param->choices != NULL)
		{
			escape_json(json, Choice(param->choices, (int) param->standard));
			appendStringInfoString(json, ", \"choices\": [");
			for (const char *rest = param->choices; rest != NULL;)
			{
				const char *bar = strchr(rest, '|');

				escape_json(json, bar == NULL ? rest : pnstrdup(rest, bar - rest));
				if (bar != NULL)
					appendStringInfoString(json, ", ");
				rest = bar == NULL ? NULL : bar + 1;
			}
			appendStringInfoChar(json, ']');
		}
		else
			appendStringInfo(json, "%.15g, \"min\": %.15g, \"max\": %.15g", param->standard, param->min, param->max);
		if (several[param - params] != param->standard)
			appendStringInfo(json, ", \"several_labels\": %.15g", several[param - params]);
		if (param->help != NULL)
		{
			appendStringInfoString(json, ", \"help\": ");
			escape_json(json, param->help);
		}
		appendStringInfoChar(json, '}');
	}
}

/*
 * {"lambda": {"default": 0.1, "min": 0, "max": 1000, "help": "..."}, ...}: all that eddh_train takes in `options` with this method;
 * "several_labels": another default where pictures have several, on a trained backbone and where not the whole network learns (but the kernel's: everywhere).
 */
static Datum
Parameters(const hash_method *method)
{
	Datum nothing = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	TrainOptions *one = TrainOptionsRead(nothing, method, true), *several = TrainOptionsRead(nothing, method, true);
	hash_param general[OPTION_COUNT + 1];
	StringInfoData json;

	/* Of any number of pictures that is not small. */
	TrainOptionsFit(one, method, true, INFINITY, false);
	TrainOptionsFit(several, method, true, INFINITY, true);
	memcpy(general, TrainOptionsGeneral(), sizeof(general));
	/* The number of threads goes with a setting of the session. */
	one->value[OPTION_THREADS] = several->value[OPTION_THREADS] = general[OPTION_THREADS].standard;
	for (int i = 0; i < OPTION_COUNT; i++)
		general[i].standard = one->value[i];
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	AppendParameters(&json, general, several->value);
	AppendParameters(&json, method->params, several->method);
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static Datum
TextOrNull(const char *value, bool *isnull)
{
	*isnull = value == NULL;
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

/* eddh_catalog.methods() */
Datum
eddh_methods(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const hash_method *method;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; (method = hash_method_at(i)) != NULL; i++)
	{
		Datum values[7];
		bool nulls[7] = { false };

		values[0] = TextOrNull(method->name, &nulls[0]);
		values[1] = TextOrNull(method->title, &nulls[1]);
		values[2] = TextOrNull(method->paper, &nulls[2]);
		values[3] = TextOrNull(method->notes, &nulls[3]);
		values[4] = BoolGetDatum(method->needs_labels);
		values[5] = BoolGetDatum(method->needs_net);
		values[6] = Parameters(method);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
