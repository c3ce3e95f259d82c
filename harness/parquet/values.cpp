#include "harness/parquet/values.h"

#include <arrow/array.h>
#include <arrow/type.h>
#include <arrow/util/checked_cast.h>
#include <fmt/format.h>

#include <cmath>
#include <set>

#include "harness/base/text.h"

namespace bitloop::parquet_lines {
namespace {

using arrow::Type;
using arrow::internal::checked_cast;

constexpr int kDeepest = 32;

std::unexpected<Error> bad(const std::string& path, const std::string& what) {
  return fail("bad_parquet", fmt::format("column '{}': {}", path, what));
}

Status check(const arrow::DataType& type, const std::string& path, int depth) {
  if (depth > kDeepest) return bad(path, fmt::format("types nested deeper than {}", kDeepest));
  switch (type.id()) {
    case Type::NA:
    case Type::BOOL:
    case Type::INT8:
    case Type::INT16:
    case Type::INT32:
    case Type::INT64:
    case Type::UINT8:
    case Type::UINT16:
    case Type::UINT32:
    case Type::UINT64:
    case Type::FLOAT:
    case Type::DOUBLE:
    case Type::STRING:
    case Type::LARGE_STRING:
    case Type::BINARY:  // writers without annotations: each value must be UTF-8
    case Type::LARGE_BINARY:
      return {};
    case Type::DICTIONARY:
      return check(*checked_cast<const arrow::DictionaryType&>(type).value_type(), path, depth + 1);
    case Type::LIST:
    case Type::LARGE_LIST:
    case Type::FIXED_SIZE_LIST:
      return check(*type.field(0)->type(), path, depth + 1);
    case Type::STRUCT: {
      std::set<std::string> names;
      for (const auto& field : type.fields()) {
        if (!is_valid_utf8(field->name())) return bad(path, "a member's name is not UTF-8");
        if (!names.insert(field->name()).second)
          return bad(path, fmt::format("two members are named '{}'", field->name()));
        BITLOOP_TRY(check(*field->type(), path + "." + field->name(), depth + 1));
      }
      return {};
    }
    default:
      return bad(path, fmt::format("its type is {}, which is not read", type.ToString()));
  }
}

Result<Json> text(std::string_view value, const std::string& path) {
  if (!is_valid_utf8(value)) return bad(path, "a text is not UTF-8");
  return Json(value);
}

Result<Json> number(double value, const std::string& path) {
  if (!std::isfinite(value)) return bad(path, "a number is not finite");
  return Json(value);
}

template <typename List>
Result<Json> elements(const arrow::Array& array, int64_t i, const std::string& path) {
  const List& list = checked_cast<const List&>(array);
  const int64_t begin = list.value_offset(i), end = begin + list.value_length(i);
  Json made = Json::array();
  for (int64_t at = begin; at < end; ++at) {
    BITLOOP_ASSIGN(element, value_at(*list.values(), at, path));
    made.push_back(std::move(element));
  }
  return made;
}

Result<Json> members(const arrow::StructArray& array, int64_t i, const std::string& path) {
  Json made = Json::object();
  for (int k = 0; k < array.num_fields(); ++k) {
    const std::string& name = array.type()->field(k)->name();
    BITLOOP_ASSIGN(member, value_at(*array.field(k), i, path + "." + name));
    made[name] = std::move(member);
  }
  return made;
}

}  // namespace

Status check_type(const arrow::DataType& type, const std::string& path) {
  return check(type, path, 0);
}

Result<Json> value_at(const arrow::Array& array, int64_t i, const std::string& path) {
  if (array.IsNull(i)) return Json();
  switch (array.type_id()) {
    case Type::NA:
      return Json();
    case Type::BOOL:
      return Json(checked_cast<const arrow::BooleanArray&>(array).Value(i));
    case Type::INT8:
      return Json(checked_cast<const arrow::Int8Array&>(array).Value(i));
    case Type::INT16:
      return Json(checked_cast<const arrow::Int16Array&>(array).Value(i));
    case Type::INT32:
      return Json(checked_cast<const arrow::Int32Array&>(array).Value(i));
    case Type::INT64:
      return Json(checked_cast<const arrow::Int64Array&>(array).Value(i));
    case Type::UINT8:
      return Json(checked_cast<const arrow::UInt8Array&>(array).Value(i));
    case Type::UINT16:
      return Json(checked_cast<const arrow::UInt16Array&>(array).Value(i));
    case Type::UINT32:
      return Json(checked_cast<const arrow::UInt32Array&>(array).Value(i));
    case Type::UINT64:
      return Json(checked_cast<const arrow::UInt64Array&>(array).Value(i));
    case Type::FLOAT:
      return number(checked_cast<const arrow::FloatArray&>(array).Value(i), path);
    case Type::DOUBLE:
      return number(checked_cast<const arrow::DoubleArray&>(array).Value(i), path);
    case Type::STRING:
    case Type::BINARY:
      return text(checked_cast<const arrow::BinaryArray&>(array).GetView(i), path);
    case Type::LARGE_STRING:
    case Type::LARGE_BINARY:
      return text(checked_cast<const arrow::LargeBinaryArray&>(array).GetView(i), path);
    case Type::DICTIONARY: {
      const auto& dictionary = checked_cast<const arrow::DictionaryArray&>(array);
      return value_at(*dictionary.dictionary(), dictionary.GetValueIndex(i), path);
    }
    case Type::LIST:
      return elements<arrow::ListArray>(array, i, path);
    case Type::LARGE_LIST:
      return elements<arrow::LargeListArray>(array, i, path);
    case Type::FIXED_SIZE_LIST:
      return elements<arrow::FixedSizeListArray>(array, i, path);
    case Type::STRUCT:
      return members(checked_cast<const arrow::StructArray&>(array), i, path);
    default:
      return bad(path, fmt::format("its type is {}, which is not read", array.type()->ToString()));
  }
}

}  // namespace bitloop::parquet_lines
