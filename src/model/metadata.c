/* metadata.c: preprocessing between a graph's metadata, a jsonb column, and options. */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"

#include "model/metadata.h"
#include "report.h"

static const char *
GetFromGraph(void *arg, const char *key)
{
	return nn_graph_metadata(arg, key);
}

eddh_code
ModelPrepFromGraph(const nn_graph *graph, image_prep *prep, eddh_error *err)
{
	return image_prep_parse(GetFromGraph, (void *) graph, prep, err);
}

static eddh_code
PutToGraph(void *arg, const char *key, const char *value, eddh_error *err)
{
	return nn_graph_set_metadata(arg, key, value, err);
}

void
ModelPrepToGraph(const image_prep *prep, nn_graph *graph)
{
	eddh_error err;

	EDDH_CHECK(image_prep_format(prep, PutToGraph, graph, &err), &err, NULL);
}

void
ModelSetMetadata(nn_graph *graph, const char *key, const char *value)
{
	eddh_error err;

	EDDH_CHECK(nn_graph_set_metadata(graph, key, value, &err), &err, NULL);
}

static char *
ScalarText(const JsonbValue *value)
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
			return NULL;
	}
}

char *
ModelJsonbText(Jsonb *jsonb, const char *key)
{
	JsonbValue buffer;
	JsonbValue *value;
	StringInfoData list;
	JsonbIterator *iterator;
	JsonbIteratorToken token;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		return NULL;
	value = getKeyJsonValueFromContainer(&jsonb->root, key, strlen(key), &buffer);
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvBinary)
		return ScalarText(value);
	if (!JsonContainerIsArray(value->val.binary.data)) /* nobody understands this, and the error will show it */
		return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);

	initStringInfo(&list);
	iterator = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&iterator, &buffer, true)) != WJB_DONE)
		if (token == WJB_ELEM)
		{
			char *element = ScalarText(&buffer);

			appendStringInfo(&list, "%s%s", list.len > 0 ? " " : "", element != NULL ? element : "?");
		}
	return list.data;
}

void
ModelCheckOptionNames(Jsonb *options, const char *const *allowed)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object")));
	iterator = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		StringInfoData list;
		bool known = false;
		char *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		initStringInfo(&list);
		for (int i = 0; allowed[i] != NULL; i++)
		{
			known = known || strcmp(allowed[i], key) == 0;
			appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", allowed[i]);
		}
		if (!known)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown option \"%s\"", key),
							errhint("The options are: %s.", list.data)));
	}
}

static const char *
GetFromJsonb(void *arg, const char *key)
{
	return ModelJsonbText(arg, key);
}

eddh_code
ModelPrepFromJsonb(Jsonb *jsonb, image_prep *prep, eddh_error *err)
{
	return image_prep_parse(GetFromJsonb, jsonb, prep, err);
}

static bool
IsAscii(const char *string)
{
	while (*string != '\0' && !IS_HIGHBIT_SET(*string))
		string++;
	return *string == '\0';
}

Jsonb *
ModelGraphMetadata(const nn_graph *graph)
{
	StringInfoData json;
	const char *key;
	const char *value;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; nn_graph_metadata_at(graph, i, &key, &value); i++)
	{
		if (strncmp(key, "eddh.", 5) != 0 || !IsAscii(key) || !IsAscii(value))
			continue; /* another program's, or of an encoding that may not be the database's */
		if (json.len > 1)
			appendStringInfoChar(&json, ',');
		escape_json(&json, key);
		appendStringInfoChar(&json, ':');
		escape_json(&json, value);
	}
	appendStringInfoChar(&json, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}
