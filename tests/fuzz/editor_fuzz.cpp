// The editor: a file from outside, and sequences of edits of a candidate. A failed edit changes
// nothing, protected lines stay as they are, and every document reads back as itself.
#include "harness/editor/edits.h"
#include "harness/editor/lua_text.h"
#include "harness/editor/view.h"
#include "tests/fuzz/fuzz.h"

namespace bitloop::editor {
namespace {

using fuzz::Input;
using fuzz::require;

constexpr const char* kText =
    "-- top\n-- BEGIN EDITABLE quantizer\na\nb\nc\n-- END EDITABLE\nmiddle\n"
    "-- BEGIN EDITABLE config\nx\n-- END EDITABLE\nreturn Q\n";

std::string protected_text(const Document& document) {
  std::string text;
  for (int64_t line = 1; line <= document.line_count(); ++line)
    if (!document.region_at(line)) text += document.lines()[static_cast<size_t>(line) - 1] + "\n";
  return text;
}

void check_document(const Document& document) {
  const auto again = Document::parse(document.text());
  require(again.has_value(), "a document is valid text");
  require(again->lines() == document.lines(), "a document reads back as itself");
  require(again->editable() == document.editable(), "its regions read back");
  require(view(document).has_value() || document.line_count() == 0, "a document can be shown");
  for (size_t i = 0; i < document.regions().size(); ++i) view_region(document, i);
  document.editable_text();
}

Result<Edit> next_edit(const Document& document, Input& input) {
  switch (input.byte() % 4) {
    case 0: {
      const int64_t first = input.number(), last = input.number();
      return replace(document, first, last, input.text());
    }
    case 1: {
      const int64_t after = input.number();
      return insert(document, after, input.text());
    }
    case 2: {
      const std::string region = input.byte() % 2 ? "quantizer" : "config";
      return rewrite(document, region, input.text());
    }
    default: {
      const std::string old_text = input.text();
      return str_replace(document, old_text, input.text());
    }
  }
}

void edit(Document document, Input& input) {
  const std::string fixed = protected_text(document);
  while (!input.empty()) {
    const std::string before = document.text();
    const auto edited = next_edit(document, input);
    require(document.text() == before, "an edit makes a new document");
    if (!edited) {
      require(edited.error().message.starts_with("ERROR: "), "a refusal is told to the agent");
      continue;
    }
    document = edited->document;
    require(protected_text(document) == fixed, "protected lines stay as they are");
    check_document(document);
  }
}

}  // namespace
}  // namespace bitloop::editor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace bitloop;
  fuzz::Input input(data, size);
  if (input.byte() % 2 == 0) {
    editor::edit(*editor::Document::parse(editor::kText), input);
    return 0;
  }
  const std::string text = input.rest();
  editor::lua_tokens(text);
  if (const auto document = editor::Document::parse(text)) editor::check_document(*document);
  if (const auto shown = editor::Document::read_only(text, "other.lua")) editor::view(*shown);
  return 0;
}
