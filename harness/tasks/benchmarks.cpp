#include "harness/tasks/benchmarks.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/base/fd.h"
#include "harness/base/paths.h"
#include "harness/base/text.h"

namespace bitloop::tasks {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr size_t kMaxFile = size_t{1} << 20;

// Sorted, with this extension.
std::vector<fs::path> files_of(const fs::path& folder, const char* extension) {
  std::vector<fs::path> files;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed))
    if (entry->path().extension() == extension) files.push_back(entry->path());
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::vector<std::string> benchmark_names(const fs::path& share_dir) {
  std::vector<std::string> names;
  for (const fs::path& file : files_of(share_dir / "eval", ".lua"))
    names.push_back(file.stem().string());
  return names;
}

Result<Json> load_benchmarks(const fs::path& share_dir, const std::vector<std::string>& names) {
  const std::vector<std::string> known = benchmark_names(share_dir);
  Json tasks = Json::array();
  for (const std::string& name : names) {
    if (!std::ranges::binary_search(known, name))
      return fail("unknown_benchmark",
                  fmt::format("there is no task '{}': {} are there", name, join(known, ", ")));
    const std::string file = name + ".lua";
    BITLOOP_ASSIGN(text, read_file(share_dir / "eval" / file, kMaxFile));
    tasks.push_back({{"path", file}, {"content", text}});
  }
  return tasks;
}

std::vector<fs::path> benchmark_documents(const fs::path& folder) {
  return files_of(folder, ".jsonl");
}

fs::path benchmark_vocabulary(const fs::path& share_dir) {
  return share_dir / "data" / "gpt2-bpe" / "vocab.bpe";
}

fs::path default_benchmarks() { return user_data_dir() / "benchmarks"; }

Json job_benchmarks(const Json& tasks, const fs::path& share_dir, const fs::path& documents,
                    int64_t limit) {
  Json files = Json::object();
  std::error_code failed;
  for (const fs::path& file : benchmark_documents(documents)) {
    if (files.size() == kMostDocumentFiles) break;
    const fs::path whole = fs::canonical(file, failed);  // as it will be bound into the jail
    if (failed || !fs::is_regular_file(whole, failed)) continue;
    files[file.filename().string()] = {{"path", file.filename().string()},
                                       {"file", whole.string()}};
  }
  return {
      {"tasks", tasks},
      {"documents", std::move(files)},
      {"vocabulary", {{"path", "vocab.bpe"}, {"file", benchmark_vocabulary(share_dir).string()}}},
      {"limit", limit}};
}

}  // namespace bitloop::tasks
