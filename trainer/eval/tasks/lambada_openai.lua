-- LAMBADA: Paperno et al. 2016, in OpenAI's form (Radford et al. 2019), 5,153 passages of the test split: the last word.
return {
  name = "lambada_openai",
  kind = "continuation",
  file = "lambada.jsonl",
  fields = {"text"},
  context = function(d) return d.text:match("^(.*) [^ ]*$") or "" end,
  continuation = function(d) return d.text:match("[^ ]*$") end,
  metrics = {"perplexity", "acc"},
}
