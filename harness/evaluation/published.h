// Which published file is which benchmark: by its hash, by its name, or by its place among the
// folders of a data set on Hugging Face. Pure functions; nothing is opened.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace bitloop::evaluation {

enum class Form { kLines, kPages };  // JSON objects, one a line; WikiText's raw text

struct Use {
  std::string_view file;  // that evaluation reads: "arc_easy.jsonl"
  Form form = Form::kLines;
  bool known = false;  // a file that results of this version were compared with lm-eval's on
  int rank = 0;        // of two that could be used, the lower is
};

// A file that is not Parquet: by its hash, else by its name alone.
std::optional<Use> use_of(const std::filesystem::path& path, const std::string& sha256);

// A Parquet file: "ai2_arc/ARC-Easy/test-00000-of-00001.parquet" as data sets have it, or
// ".../test/0000.parquet" as Hugging Face converts them.
struct Place {
  Use use;
  std::string series;   // the same for all parts of one file
  int part = 0;         // from 0
  int parts = 0;        // 0: the name does not say how many there are
  std::string why_not;  // when the file is no split that the benchmark is asked on
};
// `path` begins with the name of the folder that was given. The folder nearest to the file that
// names a benchmark decides; nothing where none does.
std::optional<Place> place_of(const std::filesystem::path& path);

}  // namespace bitloop::evaluation
