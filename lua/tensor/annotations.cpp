#include "lua/tensor/annotations.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "lua/runtime/environment.h"
#include "lua/tensor/operation.h"

namespace bitloop::lua {

namespace {

constexpr std::string_view kNotice = "written by `make manual`: do not edit";

// A parameter's name where Lua wants an identifier: PyTorch's lerp has one named `end`.
std::string identifier(std::string_view name) { return name == "end" ? "end_" : std::string(name); }

std::string returned(const Signature& signature) {
  std::string text;
  for (const ResultType& result : signature.results)
    text += fmt::format("{}{}", text.empty() ? "" : ", ", annotation_of(result.type));
  return text;
}

// The forms with a trailing table of named arguments: x:sum{dim = 1}, x:sum(1, {keepdim = true}).
// Those without an optional argument in the table are left out: nobody writes them, except for
// bitloop.autograd{forward = f, backward = g}.
std::string named_forms(const Signature& signature, std::string_view self) {
  std::string text;
  std::string positional = self.empty() ? "" : fmt::format("self: {}, ", self);
  const std::span parameters = std::span(signature.parameters).subspan(self.empty() ? 0 : 1);
  for (size_t first = 0; first < parameters.size(); ++first) {
    const std::span rest = parameters.subspan(first);
    const bool idiom = first == 0 && signature.name == "autograd";
    if (!idiom && std::ranges::none_of(rest, &Parameter::optional)) break;
    std::string fields;
    for (const Parameter& parameter : rest) {
      fields += fmt::format("{}{}{}: {}", fields.empty() ? "" : ", ",
                            parameter.name == "end" ? "[\"end\"]" : parameter.name,
                            parameter.optional ? "?" : "", annotation_of(parameter.type));
    }
    text += fmt::format("---@overload fun({}named: {{{}}}): {}\n", positional, fields,
                        returned(signature));
    const Parameter& next = rest.front();
    positional += fmt::format("{}{}: {}, ", identifier(next.name), next.optional ? "?" : "",
                              annotation_of(next.type));
  }
  return text;
}

// One operation as a method of Tensor (library "Tensor") or a function of a library.
std::string annotated(const Operation& operation, std::string_view library) {
  const BoundOperation bound = bind(operation);
  const bool method = library == "Tensor";
  std::string text = fmt::format("\n---{}\n", operation.doc), names;
  for (const Parameter& parameter : std::span(bound.parameters).subspan(method ? 1 : 0)) {
    const std::string name = parameter.variadic ? "..." : identifier(parameter.name);
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
    std::string remark = parameter.variadic ? fmt::format(" {}", parameter.name) : "";
    if (parameter.optional && parameter.default_text != "nil")
      remark = fmt::format(" default {}", parameter.default_text);
    text += fmt::format("---@param {}{} {}{}\n", name, parameter.optional ? "?" : "",
                        annotation_of(parameter.type), remark);
  }
  for (const ResultType& result : bound.results) {
    text += fmt::format("---@return {}{}{}\n", annotation_of(result.type),
                        result.name.empty() ? "" : " ", result.name);
  }
  text += named_forms(bound, method ? "Tensor" : "");
  // Nothing works in place: a result that nobody takes is a mistake.
  text += "---@nodiscard\n";
  return text +
         fmt::format("function {}{}{}({}) end\n", library, method ? ":" : ".", bound.name, names);
}

// The annotations of a group's operations with this form; "" when it has none.
std::string annotated(const Group& group, Form form, std::string_view library) {
  std::string text;
  for (const Operation& operation : group.operations)
    if (operation.forms & form) text += annotated(operation, library);
  if (text.empty()) return "";
  std::string head = fmt::format("---@meta\n-- {}; {}\n", group.title, kNotice);
  if (form == kMethod) head += "\n---@class Tensor\nlocal Tensor = {}\n";
  return head + text;
}

// "a", "b", … in lines of at most 100 columns.
std::string quoted_list(std::vector<std::string> names, std::string_view indent) {
  std::ranges::sort(names);
  std::string text, line(indent);
  for (const std::string& name : names) {
    const std::string item = fmt::format("\"{}\",", name);
    if (line.size() > indent.size() && line.size() + item.size() + 1 > 100) {
      text += line + "\n";
      line = indent;
    }
    if (line.size() > indent.size()) line += " ";
    line += item;
  }
  return text + line + "\n";
}

}  // namespace

std::vector<GeneratedFile> annotation_files() {
  std::vector<GeneratedFile> files;
  const auto add = [&](std::string_view folder, const Group& group, std::string text) {
    if (text.empty()) return;
    files.push_back({fmt::format("lua/library/{}/{}.lua", folder, group.file), std::move(text)});
  };
  for (const Group& group : all_groups()) {
    add("tensor", group, annotated(group, kMethod, "Tensor"));
    add("torch", group, annotated(group, kTorch, "torch"));
    add("bitloop", group, annotated(group, kBitloop, "bitloop"));
  }
  return files;
}

GeneratedFile luacheck_settings() {
  std::vector<Library> libraries = allowed_names();
  Library torch{"torch", {}}, bitloop{"bitloop", {}};
  for (const Group& group : all_groups()) {
    for (const Operation& operation : group.operations) {
      const std::string name(bind(operation).name);
      if (operation.forms & kTorch) torch.names.push_back(name);
      if (operation.forms & kBitloop) bitloop.names.push_back(name);
    }
  }
  libraries.push_back(torch);
  libraries.push_back(bitloop);
  std::string text = fmt::format("-- What a quantizer file finds, for luacheck; {}\n", kNotice);
  text += "stds.bitloop = {\n  read_globals = {\n";
  for (const Library& library : libraries) {
    if (library.name.empty()) {
      text += quoted_list(library.names, "    ");
    } else {
      text += fmt::format("    {} = {{\n      fields = {{\n{}      }},\n    }},\n", library.name,
                          quoted_list(library.names, "        "));
    }
  }
  text +=
      "  },\n}\n"
      "std = \"bitloop\"\n"
      "max_line_length = 128\n"
      "ignore = {\"212\"}  -- unused arguments: a function is given ctx whether it needs it or "
      "not\n"
      "exclude_files = {\"lua/library\", \"build\", \".deps\"}\n";
  return {".luacheckrc", text};
}

}  // namespace bitloop::lua
