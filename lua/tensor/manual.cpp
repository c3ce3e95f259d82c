#include "lua/tensor/manual.h"

#include <fmt/format.h>

#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

// "x:clamp(min=nil, max=nil)" of "clamp(x, min=nil, max=nil)".
std::string method_form(std::string_view signature) {
  const size_t open = signature.find('(');
  const size_t comma = signature.find(',', open);
  const size_t first_end = std::min(comma, signature.find(')', open));
  const std::string_view self = signature.substr(open + 1, first_end - open - 1);
  const std::string_view rest = comma == std::string_view::npos ? ")" : signature.substr(comma + 2);
  return fmt::format("{}:{}({}", self, signature.substr(0, open), rest);
}

}  // namespace

std::string operations_manual() {
  std::string text;
  for (const Group& group : all_groups()) {
    text += fmt::format("### {}\n\n", group.title);
    for (const Operation& operation : group.operations) {
      std::string form = std::string(operation.signature);
      if (operation.forms & kBitloop) {
        form = "bitloop." + form;
      } else if (operation.forms & kMethod) {
        form = method_form(operation.signature);
      } else {
        form = "torch." + form;
      }
      text += fmt::format("- `{}`: {}\n", form, operation.doc);
    }
    text += "\n";
  }
  text.pop_back();
  return text;
}

}  // namespace bitloop::lua
