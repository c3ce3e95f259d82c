// Parquet on the host's side. The host does not read the format itself, for a published file may be
// hostile: bitloop-parquet does, in a jail with that one file and no other.
#pragma once

#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::evaluation {

// The rows of a Parquet file with this content, one JSON object a line. Errors: "bad_parquet" with
// one sentence that does not name the file, also when reading takes too much memory, time or text;
// "infrastructure" when there is no bitloop-parquet that runs; those of sandbox::Jail.
Result<std::string> parquet_lines(std::string_view content, bool allow_degraded);

}  // namespace bitloop::evaluation
