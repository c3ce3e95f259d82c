#include "harness/evaluation/documents.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "harness/base/text.h"

namespace bitloop::evaluation {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::unexpected<Error> bad(const fs::path& path, int64_t line, const std::string& what) {
  return fail("bad_benchmark", fmt::format("{}, line {}: {}", path.string(), line, what));
}

// " = Title = ": a heading of the first level, with which a page begins.
bool begins_page(std::string_view line) {
  return line.starts_with(" = ") && line.ends_with(" = ") && line.size() > 6 &&
         !line.starts_with(" = =");
}

}  // namespace

Result<Documents> take_lines(const fs::path& path, const std::string& text) {
  Documents documents;
  int64_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const Json document = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!document.is_object()) return bad(path, number, "it is no JSON object, or cut short");
    documents.text += line + "\n";
    ++documents.count;
  }
  return documents;
}

Result<Documents> take_pages(const std::string& text) {
  Documents documents;
  std::string page;
  const auto has_text = [&] { return page.find_first_not_of(" \n") != std::string::npos; };
  const auto add = [&] {
    if (!has_text()) return;
    documents.text +=
        Json{{"page", page}}.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    ++documents.count;
  };
  const std::vector<std::string> lines = split(text, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    const bool alone =
        (i == 0 || lines[i - 1].find_first_not_of(' ') == std::string::npos) &&
        (i + 1 >= lines.size() || lines[i + 1].find_first_not_of(' ') == std::string::npos);
    if (alone && begins_page(lines[i]) && has_text()) {
      add();
      page.clear();
    }
    page += lines[i];
    if (i + 1 < lines.size()) page += "\n";
  }
  add();
  return documents;
}

Result<Documents> take_rows(const fs::path& path, const std::string& lines) {
  std::string text;
  int64_t number = 0;
  for (const std::string& line : split_lines(lines)) {
    ++number;
    const Json row = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!row.is_object()) return bad(path, number, "it is no JSON object, or cut short");
    if (number == 1 && row.contains("page")) return take_lines(path, lines);
    const auto found = row.find("text");
    if (found == row.end() || !found->is_string())
      return bad(path, number, "there is neither a text nor a page");
    const std::string& part = found->get_ref<const std::string&>();
    text += part.empty() ? " " : part;
    if (!text.ends_with('\n')) text += "\n";
  }
  return take_pages(text);
}

}  // namespace bitloop::evaluation
