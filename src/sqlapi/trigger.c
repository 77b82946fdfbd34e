/* trigger.c: eddh_encode_trigger(model, image column, code column [, policy]). */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "model/model.h"
#include "report.h"
#include "sqlapi/columns.h"
#include "sqlapi/remember.h"

PG_FUNCTION_INFO_V1(eddh_encode_trigger);

#define ABOUT_ARGUMENTS                                                                                             \
	"The trigger's arguments are: model, image column, code column, and optionally what to do with a picture that " \
	"cannot be decoded (error or null)."

static void
CheckImageColumn(Relation relation, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);

	if (getBaseType(attribute->atttypid) != BYTEAOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("image column \"%s\" of table \"%s\" is of type %s, not bytea", NameStr(attribute->attname),
						RelationGetRelationName(relation), format_type_be(attribute->atttypid)),
				 errhint(ABOUT_ARGUMENTS)));
}

static void
CheckCodeColumn(Relation relation, int column, const ModelInfo *model)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(relation), column - 1);
	int32 length = attribute->atttypmod;
	Oid type = getBaseTypeAndTypmod(attribute->atttypid, &length);

	if (type != BITOID && type != VARBITOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("code column \"%s\" of table \"%s\" is of type %s, not bit(%d)", NameStr(attribute->attname),
						RelationGetRelationName(relation), format_type_be(attribute->atttypid), model->bits),
				 errhint(ABOUT_ARGUMENTS)));
	if (length >= 0 && (type == BITOID ? length != model->bits : length < model->bits))
		ereport(ERROR, (errcode(ERRCODE_STRING_DATA_LENGTH_MISMATCH),
						errmsg("code column \"%s\" of table \"%s\" has %d bits, model \"%s\" has %d",
							   NameStr(attribute->attname), RelationGetRelationName(relation), length, model->name,
							   model->bits),
						errhint("ALTER TABLE %s ALTER COLUMN %s TYPE bit(%d) USING NULL;",
								quote_identifier(RelationGetRelationName(relation)),
								quote_identifier(NameStr(attribute->attname)), model->bits)));
}

/* May the row go in without a code, because of this? */
static bool
IsThePicture(eddh_code code)
{
	return code == EDDH_BAD_DATA || code == EDDH_OVER_LIMIT || code == EDDH_UNSUPPORTED;
}

static bool
NullPolicy(const Trigger *trigger)
{
	const char *policy = trigger->tgnargs == 4 ? trigger->tgargs[3] : "error";

	if (trigger->tgnargs < 3 || trigger->tgnargs > 4)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" gives eddh_encode_trigger %d arguments", trigger->tgname, trigger->tgnargs),
				 errhint(ABOUT_ARGUMENTS)));
	if (strcmp(policy, "error") != 0 && strcmp(policy, "null") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("trigger \"%s\" says \"%s\" for pictures that cannot be decoded", trigger->tgname, policy),
				 errhint("The choices are: error, null.")));
	return strcmp(policy, "null") == 0;
}

Datum
eddh_encode_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	Remembered *remembered;
	const ModelInfo *model;
	bool null_policy;
	HeapTuple row;
	int image_column;
	int code_column;
	Datum image;
	Datum value = (Datum) 0;
	bool isnull;
	bool code_isnull = true;
	Oid code_type;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
						errmsg("eddh_encode_trigger must be called as a trigger")));
	if (!TRIGGER_FIRED_BEFORE(data->tg_event) || !TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(data->tg_event) || TRIGGER_FIRED_BY_UPDATE(data->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" must be BEFORE INSERT OR UPDATE FOR EACH ROW", data->tg_trigger->tgname)));

	null_policy = NullPolicy(data->tg_trigger);
	image_column = ColumnNumber(data->tg_relation, data->tg_trigger->tgargs[1], ABOUT_ARGUMENTS);
	code_column = ColumnNumber(data->tg_relation, data->tg_trigger->tgargs[2], ABOUT_ARGUMENTS);
	CheckImageColumn(data->tg_relation, image_column);

	row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	image = heap_getattr(row, image_column, RelationGetDescr(data->tg_relation), &isnull);
	if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
	{
		bool old_isnull;
		Datum old = heap_getattr(data->tg_trigtuple, image_column, RelationGetDescr(data->tg_relation), &old_isnull);

		if (isnull == old_isnull && (isnull || datum_image_eq(image, old, false, -1)))
			return PointerGetDatum(row);
	}

	remembered = RememberedOf(fcinfo);
	model = RememberModel(remembered, data->tg_trigger->tgargs[0]);
	CheckCodeColumn(data->tg_relation, code_column, model);
	if (!isnull)
	{
		VarBit *code;
		eddh_error err;

		if (RememberCode(remembered, image, &code, &err))
		{
			value = VarBitPGetDatum(code);
			code_isnull = false;
		}
		else if (null_policy && IsThePicture(err.code))
			EddhWarn(&err, "cannot encode the picture; its code is NULL");
		else
			EddhReport(&err, "cannot encode the picture");
	}
	/* Nobody checks a domain after a trigger. */
	code_type = TupleDescAttr(RelationGetDescr(data->tg_relation), code_column - 1)->atttypid;
	if (getBaseType(code_type) != code_type)
		domain_check(value, code_isnull, code_type, NULL, NULL);
	return PointerGetDatum(
		heap_modify_tuple_by_cols(row, RelationGetDescr(data->tg_relation), 1, &code_column, &value, &code_isnull));
}
