-- LAMBADA (Paperno et al. 2016) as one text: the perplexity of all passages in blocks, the column lambada_ppl.
return {
  name = "lambada",
  kind = "blocks",
  file = "lambada.jsonl",
  fields = {"text"},
  text = "{text}",
  separator = "\n",
  metrics = {"perplexity"},
  ledger = {column = "lambada_ppl", metric = "perplexity"},
}
