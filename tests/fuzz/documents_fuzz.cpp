// Documents of people: published benchmarks and where they lie, presets and their overrides. The
// first line is a path or an override, the rest is the file.
#include "harness/base/text.h"
#include "harness/evaluation/documents.h"
#include "harness/evaluation/published.h"
#include "harness/tasks/early_stop.h"
#include "harness/tasks/preset.h"
#include "tests/fuzz/fuzz.h"

namespace bitloop {
namespace {

using fuzz::require;

// What is kept of a file is a JSON object a line.
void check(const Result<evaluation::Documents>& documents) {
  if (!documents) return require(documents.error().code == "bad_benchmark", "a refusal's code");
  const auto lines = split_lines(documents->text);
  require(static_cast<int64_t>(lines.size()) == documents->count, "a document is a line");
  for (const std::string& line : lines)
    require(nlohmann::json::accept(line), "a document is valid JSON");
}

void check_preset(nlohmann::json preset, const std::string& assignment) {
  const std::string before = preset.dump();
  if (preset.is_object() && !tasks::apply_override(preset, assignment))
    require(preset.dump() == before, "an override that is refused changes nothing");
  if (const Status status = tasks::check_preset(preset, "file"); !status)
    require(status.error().code == "bad_preset", "a preset's refusal has its code");
  if (const auto rule = tasks::parse_early_stop_rule(preset); !rule)
    require(rule.error().code == "bad_task", "a rule's refusal has its code");
}

}  // namespace
}  // namespace bitloop

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloop;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const size_t end = text.find('\n');
  const std::string first = text.substr(0, end);
  const std::string rest = end == std::string::npos ? "" : text.substr(end + 1);
  evaluation::use_of(first, "");
  if (const auto place = evaluation::place_of(first))
    fuzz::require(!place->use.file.empty(), "a place is of a file");
  check(evaluation::take_lines("a.jsonl", rest));
  check(evaluation::take_pages(rest));
  check(evaluation::take_rows("a.parquet", rest));
  const auto preset = nlohmann::json::parse(rest, nullptr, /*allow_exceptions=*/false);
  if (!preset.is_discarded()) check_preset(preset, first);
  return 0;
}
