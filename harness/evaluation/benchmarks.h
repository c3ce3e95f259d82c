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
  std::string sha256;  // of the source; "" for a Parquet file that was not used
  bool known = false;  // its hash is one of a file that this version was tested with
  int part = 0;        // of a file in parts, from 0; the first has the number of documents
  int64_t documents = 0;
  std::string why_not;  // when it was not used
};

struct Preparation {
  std::filesystem::path folder;  // with the published files
  std::filesystem::path to;      // gets what evaluation reads
  bool unverified = false;       // take files by their names, too, not only by their hashes
  bool allow_degraded = false;   // of the jail that reads Parquet
};

// Looks at every .jsonl, .txt, .raw and .parquet file of `folder` and below, knows it by its hash,
// or by its name (of Parquet files: its place, published.h) where `unverified` allows that, and
// writes what evaluation reads into `to`, each file whole or not at all, with a manifest
// benchmarks.json. All are read before the first is written. Errors: those of files and of the
// jail, and "bad_benchmark" with file, line or row, and what is wrong there.
Result<std::vector<Prepared>> prepare_benchmarks(const Preparation& preparation);

}  // namespace bitloop::evaluation
