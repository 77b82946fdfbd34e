/* onnx_walk.c: the guard in front of protobuf-c's unpacker. */
#include "nn/onnx.h"

#include <string.h>

typedef struct frame
{
	const ProtobufCMessageDescriptor *message;
	size_t end;
	uint64_t seen; /* submessages that may come once, by index of the field */
} frame;

typedef struct walker
{
	const uint8_t *bytes;
	size_t at;
	size_t messages, fields, integers;
	frame stack[NN_ONNX_DEPTH];
	int depth;
	eddh_error *err;
} walker;

static eddh_code
bad(const walker *w, const char *what)
{
	return eddh_fail(w->err, EDDH_BAD_DATA, "not a valid ONNX file: %s at byte %zu", what, w->at);
}

static eddh_code
too_many(const walker *w, const char *what, size_t limit)
{
	return eddh_fail(w->err, EDDH_OVER_LIMIT, "ONNX file has more than %zu %s (at byte %zu)", limit, what, w->at);
}

/* At most `most` bytes, before `end`. */
static bool
varint(walker *w, size_t end, int most, uint64_t *value)
{
	*value = 0;
	for (int i = 0; i < most && w->at < end; i++)
	{
		uint8_t byte = w->bytes[w->at++];

		*value |= (uint64_t) (byte & 0x7f) << (7 * i);
		if (byte < 0x80)
			return true;
	}
	return false;
}

/* RFC 3629: shortest forms only, no surrogates, up to U+10FFFF. */
static bool
utf8(const uint8_t *s, size_t len)
{
	for (size_t i = 0; i < len;)
	{
		uint8_t lead = s[i];
		size_t more = lead < 0x80 ? 0 : lead < 0xc2 ? 9 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 9;

		if (more == 9 || more > len - i - 1)
			return false;
		for (size_t j = 1; j <= more; j++)
			if ((s[i + j] & 0xc0) != 0x80)
				return false;
		if ((lead == 0xe0 && s[i + 1] < 0xa0) || (lead == 0xed && s[i + 1] > 0x9f) ||
			(lead == 0xf0 && s[i + 1] < 0x90) || (lead == 0xf4 && s[i + 1] > 0x8f))
			return false;
		i += more + 1;
	}
	return true;
}

static bool
is_integer(ProtobufCType type)
{
	switch (type)
	{
		case PROTOBUF_C_TYPE_INT32:
		case PROTOBUF_C_TYPE_INT64:
		case PROTOBUF_C_TYPE_UINT32:
		case PROTOBUF_C_TYPE_UINT64:
		case PROTOBUF_C_TYPE_SINT32:
		case PROTOBUF_C_TYPE_SINT64:
		case PROTOBUF_C_TYPE_BOOL:
		case PROTOBUF_C_TYPE_ENUM:
			return true;
		default:
			return false;
	}
}

/* A packed list holds one integer for each byte without the continuation bit. float16 weights may come as int32_data: those have the file's size as limit. */
static eddh_code
packed(walker *w, const ProtobufCFieldDescriptor *field, size_t len)
{
	if (field->type == PROTOBUF_C_TYPE_INT32)
		return EDDH_OK;
	for (size_t i = 0; i < len; i++)
		w->integers += w->bytes[w->at + i] < 0x80;
	return w->integers > NN_ONNX_INTEGERS ? too_many(w, "integers in lists", NN_ONNX_INTEGERS) : EDDH_OK;
}

static eddh_code
enter(walker *w, const ProtobufCFieldDescriptor *field, size_t end)
{
	frame *top = &w->stack[w->depth - 1];
	unsigned index = (unsigned) (field - top->message->fields);

	if (field->label != PROTOBUF_C_LABEL_REPEATED)
	{
		uint64_t bit = UINT64_C(1) << (index & 63);

		if (index > 63 || (top->seen & bit) != 0)
			return bad(w, "repeated field");
		top->seen |= bit;
	}
	if (++w->messages > NN_ONNX_MESSAGES)
		return too_many(w, "elements", NN_ONNX_MESSAGES);
	if (w->depth == NN_ONNX_DEPTH)
		return eddh_fail(w->err, EDDH_OVER_LIMIT, "ONNX file is nested more than %d deep (at byte %zu)", NN_ONNX_DEPTH,
						 w->at);
	w->stack[w->depth++] = (frame){ .message = field->descriptor, .end = end };
	return EDDH_OK;
}

/* A field of wire type 2: text, bytes, a packed list, or a submessage, which the main loop then walks. */
static eddh_code
delimited(walker *w, const ProtobufCFieldDescriptor *field, size_t end)
{
	uint64_t len;

	if (!varint(w, end, 10, &len))
		return bad(w, "broken length");
	if (len > end - w->at)
		return bad(w, "length beyond the end");
	if (field != NULL && field->type == PROTOBUF_C_TYPE_MESSAGE)
		return enter(w, field, w->at + (size_t) len);
	if (field != NULL && field->type == PROTOBUF_C_TYPE_STRING && !utf8(w->bytes + w->at, (size_t) len))
		return bad(w, "text that is not UTF-8");
	if (field != NULL && is_integer(field->type))
	{
		eddh_code code = packed(w, field, (size_t) len);

		if (code != EDDH_OK)
			return code;
	}
	w->at += (size_t) len;
	return EDDH_OK;
}

static eddh_code
one_field(walker *w)
{
	const frame *top = &w->stack[w->depth - 1];
	size_t end = top->end;
	const ProtobufCFieldDescriptor *field;
	uint64_t tag;
	uint64_t ignored;

	if (++w->fields > NN_ONNX_FIELDS)
		return too_many(w, "fields", NN_ONNX_FIELDS);
	if (!varint(w, end, 5, &tag) || tag > UINT32_MAX || tag >> 3 == 0)
		return bad(w, "broken field tag");
	field = protobuf_c_message_descriptor_get_field(top->message, (unsigned) (tag >> 3));
	switch (tag & 7)
	{
		case 0:
			return varint(w, end, 10, &ignored) ? EDDH_OK : bad(w, "broken number");
		case 1:
		case 5:
		{
			size_t width = (tag & 7) == 1 ? 8 : 4;

			if (end - w->at < width)
				return bad(w, "number beyond the end");
			w->at += width;
			return EDDH_OK;
		}
		case 2:
			return delimited(w, field, end);
		default:
			return bad(w, "unknown wire type");
	}
}

eddh_code
nn_onnx_walk(const uint8_t *bytes, size_t len, eddh_error *err)
{
	walker w = { .bytes = bytes, .err = err, .depth = 1 };

	w.stack[0] = (frame){ .message = &onnx__model_proto__descriptor, .end = len };
	for (;;)
	{
		eddh_code code;

		while (w.depth > 0 && w.at == w.stack[w.depth - 1].end)
			w.depth--;
		if (w.depth == 0)
			return EDDH_OK;
		code = one_field(&w);
		if (code != EDDH_OK)
			return code;
	}
}
