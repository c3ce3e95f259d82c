#include "harness/cli/quantize_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "harness/base/text.h"
#include "harness/evaluation/jailed_evaluation.h"

namespace bitloop::cli {
namespace {

constexpr size_t kLongestName = 20;

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= kLongestName && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

}  // namespace

Result<std::vector<NamedText>> parse_texts(const std::vector<std::string>& given) {
  std::vector<NamedText> texts;
  std::set<std::string> names;
  for (const std::string& text : given) {
    const size_t at = text.find('=');
    const std::string name = text.substr(0, at);
    if (at == std::string::npos || !is_name(name))
      return fail("wrong_usage",
                  fmt::format("--tokens {}: must be NAME=FILE, with a name of at most {} letters, "
                              "digits, '_', '-' and '.'",
                              single_line(text), kLongestName));
    if (!names.insert(name).second)
      return fail("wrong_usage", fmt::format("--tokens {}: there are two of that name", name));
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(text.substr(at + 1), ignored))
      return fail("wrong_usage",
                  fmt::format("--tokens {}: there is no such file", single_line(text)));
    texts.push_back({name, text.substr(at + 1)});
  }
  return texts;
}

Result<nlohmann::ordered_json> score_texts(const std::filesystem::path& model,
                                           const std::vector<NamedText>& texts,
                                           const nlohmann::json& preset, bool allow_degraded) {
  auto scores = nlohmann::ordered_json::object();
  for (const NamedText& text : texts) {
    evaluation::Request request;
    request.model = model;
    request.tasks.emplace();
    request.tokens = text.file;
    request.window = preset.at("eval").value("window", int64_t{0});
    request.threads = preset.at("limits").at("threads").get<unsigned>();
    request.memory_bytes = preset.at("limits").at("memory_mb").get<uint64_t>() << 20;
    request.allow_degraded = allow_degraded;
    auto found = evaluation::evaluate(request, [](const evaluation::TaskProgress&) {});
    if (!found)
      return fail(found.error().code == "bad_document" ? "wrong_usage" : found.error().code,
                  fmt::format("--tokens {}: {}", text.name, found.error().message));
    const auto& metrics = found->at("tasks").at("tokens").at("metrics");
    scores[text.name] = {{"loss", metrics.at("loss").at("value")},
                         {"ppl", metrics.at("perplexity").at("value")}};
  }
  return scores;
}

}  // namespace bitloop::cli
