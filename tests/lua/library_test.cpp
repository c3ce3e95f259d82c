// The annotations that are written by hand (lua/library/*.lua) name what really exists.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>

#include "lua/quantizer/format_reader.h"
#include "lua/runtime/environment.h"
#include "tests/lua/fixture.h"

namespace bitloop::lua {
namespace {

using Names = std::set<std::string>;

std::string read(const std::string& name) {
  std::ifstream in(std::string(BITLOOP_SOURCE_DIR) + "/lua/library/" + name);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// All first groups of an expression's matches.
Names matches(const std::string& text, const char* expression) {
  Names found;
  const std::regex pattern(expression, std::regex::multiline);
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it)
    found.insert((*it)[1]);
  return found;
}

// The fields that a class of quantizer.lua declares itself.
Names fields(const std::string& name) {
  const std::string text = read("quantizer.lua"), head = "---@class " + name;
  size_t start = text.find(head + "\n");
  if (start == std::string::npos) start = text.find(head + ":");
  EXPECT_NE(start, std::string::npos) << name;
  if (start == std::string::npos) return {};
  return matches(text.substr(start, text.find("\n\n", start) - start), "^---@field (\\w+)\\??");
}

// The keys of a table that a body has in the variable `t`.
Names keys(const std::string& function, const std::string& table) {
  const auto quantizer = load(
      "local Q = {levels = {-1, 1}}\nlocal function show(t)\n  local names = ''\n"
      "  for name in pairs(t) do names = names .. '<' .. name .. '>' end\n  error(names)\nend\n"
      "function Q.weight_quant(w, ctx) show(" +
      table + ") end\nfunction Q.init(layer) show(" + table +
      ") end\nfunction Q.after_step(layer, ctx) show(" + table + ") end\nreturn Q\n");
  EXPECT_TRUE(quantizer) << quantizer.error().message;
  Layer layer{"h.0.mlp.c_fc", 0, 1, "mlp_fc", 3, 2};
  const std::map<std::string, at::Tensor> none;
  const Context context{0, 1, true, &layer, &none, &none};
  const at::Tensor w = at::ones({2, 3});
  std::string shown;
  if (function == "weight_quant") shown = (*quantizer)->weight_quant(w, context).error().message;
  if (function == "init") shown = (*quantizer)->init(layer, w).error().message;
  if (function == "after_step") shown = (*quantizer)->after_step(context, w, w).error().message;
  return matches(shown, "<(\\w+)>");
}

TEST(LibraryTest, QuantizersFieldsAreThoseThatAreRead) {
  Names known(std::begin(kFieldNames), std::end(kFieldNames));
  known.insert(std::begin(kFunctionNames), std::end(kFunctionNames));
  EXPECT_EQ(fields("bitloop.Quantizer"), known);
}

TEST(LibraryTest, ContextAndLayersAreWhatCallsAreGiven) {
  EXPECT_EQ(fields("bitloop.Context"), keys("weight_quant", "ctx"));
  Names layer = fields("bitloop.Layer");
  EXPECT_EQ(layer, keys("weight_quant", "ctx.layer"));
  Names with_weight = layer, with_codes = layer;
  with_weight.merge(fields("bitloop.InitLayer"));
  with_codes.merge(fields("bitloop.StepLayer"));
  EXPECT_EQ(with_weight, keys("init", "layer"));
  EXPECT_EQ(with_codes, keys("after_step", "layer"));
}

TEST(LibraryTest, WhatFunctionsReturnIsAccepted) {
  // A field that nobody reads is refused, so a file that uses each annotated field proves them.
  std::string result = "{";
  for (const std::string& name : fields("bitloop.Quantized")) {
    if (name != "codebook") result += name + " = w:sign(), ";
  }
  EXPECT_EQ(body_error("return " + result + "}").message, "");
  EXPECT_NE(body_error("return {codes = w:sign(), scale = 1, scales = 1}").message, "");
  EXPECT_EQ(fields("bitloop.Init"), (Names{"params", "state", "weight"}));
  EXPECT_EQ(fields("bitloop.Parameter"), (Names{"lr_scale", "value", "weight_decay"}));
}

TEST(LibraryTest, TheSandboxIsTheAllowList) {
  const std::string text = read("sandbox.lua");
  for (const Library& library : allowed_names()) {
    Names annotated;
    if (library.name.empty()) {
      annotated = matches(text, "^function (\\w+)\\(");
    } else {
      const std::string pattern = "^function " + library.name + "\\.(\\w+)\\(";
      annotated = matches(text, pattern.c_str());
      if (library.name == "math") annotated.merge(matches(text, "^---@field (\\w+) "));
    }
    EXPECT_EQ(annotated, Names(library.names.begin(), library.names.end())) << library.name;
  }
}

}  // namespace
}  // namespace bitloop::lua
