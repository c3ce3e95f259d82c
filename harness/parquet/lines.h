// A Parquet file as JSON lines. The file may be hostile: this is the part of bitloop-parquet that a
// test can call, and no other program reads Parquet.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::parquet_lines {

inline constexpr int64_t kMostBytes = int64_t{256} << 20;  // of the file

// Reads the file on `fd` (a regular file; stays open, its position does not matter) and hands out
// one JSON object a row, its members the columns in their order, each ended by '\n'. Rows are read
// some at a time, by this thread alone. An error of `write` ends it. Errors: "bad_parquet" with one
// sentence: no whole Parquet file, columns that JSON can't have (values.h), a row that is broken,
// or another number of rows than the file says; then lines may have been handed out already.
Status write_lines(int fd, const std::function<Status(std::string_view lines)>& write);

}  // namespace bitloop::parquet_lines
