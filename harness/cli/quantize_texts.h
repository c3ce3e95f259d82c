// Further texts of `bitloop quantize`: a column of perplexities each, of the same models.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "harness/base/result.h"

namespace bitloop::cli {

struct NamedText {
  std::string name;            // of the column
  std::filesystem::path file;  // of tokens
};

// `given`: NAME=FILE. Error "wrong_usage".
Result<std::vector<NamedText>> parse_texts(const std::vector<std::string>& given);

// {name: {"loss", "ppl"}} of a packed model or a run's folder, in windows as the preset's scores
// have them. Errors: those of evaluation::evaluate.
Result<nlohmann::ordered_json> score_texts(const std::filesystem::path& model,
                                           const std::vector<NamedText>& texts,
                                           const nlohmann::json& preset, bool allow_degraded);

}  // namespace bitloop::cli
