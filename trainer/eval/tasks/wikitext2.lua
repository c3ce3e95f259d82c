-- WikiText-2 (Merity et al. 2017) as one text: the perplexity of the raw split in blocks, the column wikitext2_ppl.
return {
  name = "wikitext2",
  kind = "blocks",
  file = "wikitext2.jsonl",
  fields = {"page"},
  text = "{page}",
  separator = "",
  metrics = {"perplexity"},
  ledger = {column = "wikitext2_ppl", metric = "perplexity"},
}
