#include "lua/tensor/signature.h"

#include <fmt/format.h>

#include <stdexcept>

namespace bitloop::lua {

namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// Cuts what stands before the first `separator` off `text`, or all of it.
std::string_view cut(std::string_view& text, char separator) {
  const size_t place = text.find(separator);
  const std::string_view head = trim(text.substr(0, place));
  text = place == std::string_view::npos ? std::string_view() : trim(text.substr(place + 1));
  return head;
}

Parameter parse_parameter(std::string_view part) {
  Parameter parameter;
  if (part.ends_with("...")) {
    parameter.variadic = true;
    parameter.type = "Dims";
    parameter.name = part.substr(0, part.size() - 3);
    return parameter;
  }
  parameter.optional = part.find('=') != std::string_view::npos;
  std::string_view declared = cut(part, '=');
  parameter.default_text = part;
  parameter.name = cut(declared, ':');
  parameter.type = declared;
  const bool flag = parameter.default_text == "true" || parameter.default_text == "false";
  if (parameter.type.empty()) parameter.type = flag ? "boolean" : "Tensor";
  return parameter;
}

}  // namespace

std::string_view annotation_of(std::string_view word) {
  for (const TypeWord& type : kTypeWords) {
    if (type.word == word) return type.annotation;
  }
  throw std::logic_error(fmt::format("unknown type '{}' in a signature", word));
}

Signature parse_signature(std::string_view text) {
  const size_t open = text.find('('), close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open)
    throw std::logic_error(fmt::format("malformed signature '{}'", text));
  Signature signature;
  signature.name = text.substr(0, open);
  std::string_view rest = trim(text.substr(open + 1, close - open - 1));
  while (!rest.empty()) signature.parameters.push_back(parse_parameter(cut(rest, ',')));
  std::string_view results = trim(text.substr(close + 1));
  if (results.starts_with("->")) results.remove_prefix(2);
  results = trim(results);
  while (!results.empty()) {
    std::string_view part = cut(results, ',');
    const std::string_view name = cut(part, ':');
    signature.results.push_back({name, part.empty() ? "Tensor" : part});
  }
  if (signature.results.empty()) signature.results.push_back({"", "Tensor"});
  signature.text = fmt::format("{}(", signature.name);
  for (const Parameter& parameter : signature.parameters) {
    annotation_of(parameter.type);
    if (&parameter != signature.parameters.data()) signature.text += ", ";
    signature.text += parameter.name;
    if (parameter.variadic) signature.text += "...";
    if (parameter.optional) signature.text += fmt::format("={}", parameter.default_text);
  }
  signature.text += ")";
  for (const ResultType& result : signature.results) annotation_of(result.type);
  return signature;
}

}  // namespace bitloop::lua
