#include "trainer/shell/help.h"

#include <fmt/format.h>

#include <vector>

#include "lua/tensor/operation.h"
#include "lua/tensor/other_names.h"
#include "trainer/shell/functions.h"

namespace bitloop::trainer::shell {
namespace {

constexpr size_t kColumns = 96;

std::string_view name_of(std::string_view signature) {
  return signature.substr(0, signature.find('('));
}

std::string forms_of(const lua::Operation& operation) {
  const std::string_view name = name_of(operation.signature);
  std::vector<std::string> forms;
  if (operation.forms & lua::kMethod) forms.push_back(fmt::format("x:{}(…)", name));
  if (operation.forms & lua::kTorch) forms.push_back(fmt::format("torch.{}(…)", name));
  if (operation.forms & lua::kBitloop) forms.push_back(fmt::format("bitloop.{}(…)", name));
  return fmt::format("{}", fmt::join(forms, " or "));
}

// Words in lines of at most kColumns, each indented.
std::string wrap(const std::vector<std::string_view>& words) {
  std::string text = " ";
  size_t column = 1;
  for (const std::string_view word : words) {
    if (column + 1 + word.size() > kColumns) {
      text += "\n ";
      column = 1;
    }
    text += ' ';
    text += word;
    column += 1 + word.size();
  }
  return text + "\n";
}

template <typename Visit>
bool visit_operations(Visit visit) {
  for (const lua::Group& group : lua::all_groups())
    for (const lua::Operation& operation : group.operations)
      if (visit(operation)) return true;
  for (const lua::Operation& operation : random_operations())
    if (visit(operation)) return true;
  return false;
}

}  // namespace

std::string help_overview() {
  std::string text =
      "An expression's value is printed; assignments stay. w is a random weight (256, 256), x a\n"
      "random activation (64, 256), Q the quantizer. Tab completes, Ctrl-C stops what is running,\n"
      "Ctrl-D leaves.\n\n";
  for (const Function& function : shell_functions())
    text += fmt::format("  {}\n      {}\n", function.signature, function.doc);
  text += "\nOperations (help(\"clamp\") says more):\n";
  const auto group = [&](std::string_view title, std::span<const lua::Operation> operations) {
    std::vector<std::string_view> names;
    for (const lua::Operation& operation : operations)
      names.push_back(name_of(operation.signature));
    text += fmt::format("{}\n{}", title, wrap(names));
  };
  for (const lua::Group& part : lua::all_groups()) group(part.title, part.operations);
  group("Random numbers, here only: torch.…", random_operations());
  return text;
}

std::string help_about(std::string_view name) {
  const size_t last = name.find_last_of(".:");
  const std::string_view word = last == std::string_view::npos ? name : name.substr(last + 1);
  std::string text;
  for (const Function& function : shell_functions())
    if (name_of(function.signature) == word)
      return fmt::format("{}: {}\n", function.signature, function.doc);
  visit_operations([&](const lua::Operation& operation) {
    if (name_of(operation.signature) != word) return false;
    text = fmt::format("{}: {}\n  {}\n", lua::bind(operation).text, operation.doc,
                       forms_of(operation));
    return true;
  });
  if (!text.empty()) return text;
  const std::string hint = lua::suggest_operation(word);
  return fmt::format("There is no '{}'{}\n", word.substr(0, 60), hint.empty() ? "." : ": " + hint);
}

}  // namespace bitloop::trainer::shell
