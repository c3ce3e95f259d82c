// The documents of the benchmarks, which are not ours to ship: from the files that their authors
// published to a folder that evaluation reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::evaluation {

// One file of the folder that was given.
struct Prepared {
  std::filesystem::path source;
  std::string file;    // that it became: "arc_easy.jsonl"; "" when it was not used
  std::string sha256;  // of the source
  bool known = false;  // its hash is one of a file that this version was tested with
  int64_t documents = 0;
  std::string why_not;  // when it was not used
};

// Looks at every .jsonl, .txt and .raw file of `folder` and below, knows it by its hash, or by its
// name where `unverified` allows that, and writes what evaluation reads into `to`, each file whole
// or not at all, with a manifest benchmarks.json. Errors: those of files, and "bad_benchmark" with
// file, line and what is wrong there.
Result<std::vector<Prepared>> prepare_benchmarks(const std::filesystem::path& folder,
                                                 const std::filesystem::path& to, bool unverified);

}  // namespace bitloop::evaluation
