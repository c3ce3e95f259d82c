// One value of a Parquet file as JSON: texts, whole numbers, floats, truth values, nothing, and
// lists and structs of these. What JSON has no word for (dates, decimals, maps, bytes that are no
// UTF-8, infinities) is an error, never another value that looks like it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "harness/base/result.h"

namespace arrow {
class Array;
class DataType;
}  // namespace arrow

namespace bitloop::parquet_lines {

using Json = nlohmann::ordered_json;

// Whether values of this type can be had. `path` is what a person calls the column:
// "choices.label". Error "bad_parquet", which names path and type, for any other, for members of a
// struct with the same name, and for types nested deeper than 32.
Status check_type(const arrow::DataType& type, const std::string& path);

// Element `i` of `array`. Requires: check_type accepted its type, and ValidateFull the array. Error
// "bad_parquet": a float that is not finite, a text that is not UTF-8.
Result<Json> value_at(const arrow::Array& array, int64_t i, const std::string& path);

}  // namespace bitloop::parquet_lines
