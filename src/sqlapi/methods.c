/* methods.c: the table of hashing methods as rows. */
#include "postgres.h"

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

/* The value of that name among settings (NULL: none), or the other one. */
static double
SettingOr(const hash_setting *settings, const char *name, double other)
{
	for (; settings != NULL && settings->name != NULL; settings++)
		if (strcmp(settings->name, name) == 0)
			return settings->value;
	return other;
}

static void
AppendOther(StringInfo json, const hash_setting *several, const hash_param *param)
{
	double value =
		SettingOr(several, param->name, SettingOr(TrainOptionsSeveralLabels(), param->name, param->standard));

	if (value != param->standard)
		appendStringInfo(json, ", \"several_labels\": %.15g", value);
}

static void
AppendParameters(StringInfo json, const hash_param *params, const hash_setting *several)
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
		AppendOther(json, several, param);
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
	hash_param general[OPTION_COUNT + 1];
	hash_setting several[OPTION_COUNT + 1] = { 0 };
	double fall;
	StringInfoData json;

	memcpy(general, TrainOptionsGeneral(), sizeof(general));
	fall = general[OPTION_RATE_LAST].standard / general[OPTION_RATE].standard;
	for (hash_param *param = general; param->name != NULL; param++)
		param->standard = SettingOr(method->standards, param->name, param->standard);
	general[OPTION_RATE_LAST].standard = general[OPTION_RATE].standard * fall;
	for (int i = 0; method->several != NULL && method->several[i].name != NULL; i++)
		several[i + 1] = method->several[i];
	several[0].name = general[OPTION_RATE_LAST].name;
	several[0].value = SettingOr(method->several, general[OPTION_RATE].name, general[OPTION_RATE].standard) * fall;
	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	AppendParameters(&json, general, several);
	AppendParameters(&json, method->params, several);
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
