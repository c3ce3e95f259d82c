// Signatures of operations, in PyTorch's words with types:
//
//   clamp(x, min: Operand=nil, max: Operand=nil)
//   sort(x, dim: integer=-1, descending=false) -> values, places
//   view(x, size...)
//
// A parameter without a type is a Tensor, or a boolean where its default is true or false; a last
// parameter "size..." takes whole numbers or one list of them. Without results an operation returns
// one Tensor; results are named, and are Tensors where no type is given.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace bitloop::lua {

struct Parameter {
  std::string_view name, type, default_text;
  bool optional = false, variadic = false;
};

struct ResultType {
  std::string_view name, type;  // name: "" for the one Tensor that needs none
};

struct Signature {
  std::string_view name;
  std::vector<Parameter> parameters;
  std::vector<ResultType> results;
  std::string text;  // "clamp(x, min=nil, max=nil)": for people, without types and results
};

// Takes a signature apart; the parts are views of `text`. Throws std::logic_error on one that is
// malformed or names an unknown type: the table is part of the program.
Signature parse_signature(std::string_view text);

// The words that types are made of, and what each is in the Lua language server's notation.
struct TypeWord {
  std::string_view word, annotation;
};
inline constexpr TypeWord kTypeWords[] = {
    {"Tensor", "Tensor"},
    {"Tensors", "Tensor[]"},
    {"Operand", "Operand"},  // a Tensor or a number
    {"Dims", "Dims"},        // a whole number or a list of them
    {"integer", "integer"},
    {"integers", "integer[]"},
    {"number", "number"},
    {"boolean", "boolean"},
    {"string", "string"},
    {"Forward", "fun(...: any): Tensor"},
    {"Backward", "fun(gradient: Tensor, ...: any): Tensor?, Tensor?, Tensor?"},
    {"list", "number|table"},
    {"Tensor...", "Tensor ..."},  // results: as many as there are
};
// The annotation of a type word.
std::string_view annotation_of(std::string_view word);

}  // namespace bitloop::lua
