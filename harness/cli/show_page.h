// The pages of `bitloop show`, from its documents. Foreign text in them is made harmless.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace bitloop::cli {

// Requires: the document of a session, as `bitloop show SESSION --json` prints it.
std::string session_page(const nlohmann::ordered_json& document);

// Requires: the document of a test. `log`: its log.tsv, "" where there is none.
std::string test_page(const nlohmann::ordered_json& document, std::string_view log, bool color);

}  // namespace bitloop::cli
