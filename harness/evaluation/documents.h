// From the text of a published file to the documents that evaluation reads: one JSON object a line.
// Pure functions; `path` is for messages. Error "bad_benchmark" with path, line (of Parquet: row)
// and what is wrong there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "harness/base/result.h"

namespace bitloop::evaluation {

struct Documents {
  std::string text;
  int64_t count = 0;
};

// The lines as they are, each a whole JSON object.
Result<Documents> take_lines(const std::filesystem::path& path, const std::string& text);

// WikiText's pages: from one heading of the first level to the next, which an empty line stands
// before and after.
Result<Documents> take_pages(const std::string& text);

// The same from the rows of a data set, as JSON lines: a row is a line of the text, and "" one that
// is blank, which was a space in the text. A set of whole pages has the documents already.
Result<Documents> take_rows(const std::filesystem::path& path, const std::string& lines);

}  // namespace bitloop::evaluation
