#include "lua/tensor/manual.h"

#include <fmt/format.h>

#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

// "x:clamp(min=nil, max=nil)" of "clamp(x, min=nil, max=nil)".
std::string method_form(const Signature& signature) {
  const std::string_view text = signature.text, self = signature.parameters[0].name;
  std::string_view rest = text.substr(signature.name.size() + 1 + self.size());
  if (rest.starts_with(", ")) rest.remove_prefix(2);
  return fmt::format("{}:{}({}", self, signature.name, rest);
}

}  // namespace

std::string operations_manual() {
  std::string text;
  for (const Group& group : all_groups()) {
    text += fmt::format("### {}\n\n", group.title);
    for (const Operation& operation : group.operations) {
      const BoundOperation bound = bind(operation);
      std::string form = bound.text;
      if (operation.forms & kBitloop) {
        form = "bitloop." + form;
      } else if (operation.forms & kMethod) {
        form = method_form(bound);
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
