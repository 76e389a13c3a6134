"""Errors and warnings by code: what happened, expected, got, where, and what to do.

No message contains the text of a document.
"""

# Checkpoints and files
TB001 = (
    "[TB001] The component '{name}' has no checkpoint. Set {field} to a folder or to a name on the "
    "Hugging Face hub, or load a saved pipeline."
)
TB002 = "[TB002] Can't load the checkpoint '{trf_name}'{revision}. {advice} Reason: {reason}"
TB003 = (
    "[TB003] Can't read the weights of '{trf_name}'. Expected a complete model.safetensors or "
    "pytorch_model.bin that fits its config.json. Download the checkpoint again. Reason: {reason}"
)
TB004 = (
    "[TB004] Can't load the tokenizer of '{trf_name}'. Expected tokenizer.json, or the vocabulary "
    "files of the tokenizer in its config. Reason: {reason}"
)
TB005 = (
    "[TB005] Expected {path} in format {known} or lower, which trf_bridge {version} reads, got "
    "format {found}. Upgrade: pip install -U trf_bridge"
)
TB006 = (
    "[TB006] Can't read {path}: the file is missing, incomplete or not valid. Copy or install the "
    "pipeline again. Reason: {reason}"
)
TB007 = (
    "[TB007] The tokenizer of '{tokenizer_name}' has {n_vocab} wordpieces, but the embedding table "
    "of '{model_name}' has only {n_rows} rows. Use the tokenizer and the weights of one checkpoint."
)
TB008 = "[TB008] Unknown {field}: {got}. Expected one of: {expected}."
TB009 = (
    "[TB009] Expected a whole number of at least {least} for '{field}', got {got} ({got_type}). "
    "{advice}"
)
TB010 = (
    "[TB010] The component '{name}' has no {what} yet. Call nlp.initialize() to load its "
    "checkpoint, or load a saved pipeline."
)
TB011 = (
    "[TB011] {component} received a Doc of {n_tokens} tokens without wordpieces. Add "
    "trf_wordpiecer to the pipeline before it, and don't disable it."
)
TB012 = (
    "[TB012] precision = '{precision}' needs {needs}, but the weights are on {device}. Use 'fp32' "
    "or 'bf16'."
)
TB013 = (
    "[TB013] The checkpoint '{trf_name}' (model_type = '{model_type}') returns no {output}. Set "
    "{field} = false, or use another checkpoint."
)
TB014 = (
    "[TB014] Expected an array of shape {expected} for doc._.{name}, as doc._.{like} has, got "
    "{got}."
)
TB015 = (
    "[TB015] A wordpiece has the id {got}, but the embedding table has {n_rows} rows. The "
    "tokenizer and the weights belong to different checkpoints: save and load them together."
)
TB016 = (
    "[TB016] The checkpoint '{trf_name}' needs its own code, which trf_bridge does not run by "
    "default. Read the code, then set trust_remote_code = true in the component's config. Reason: "
    "{reason}"
)
TB017 = (
    "[TB017] Can't compare a vector of width {one} with a vector of width {two}. They belong to "
    "different pipelines, or one of the Docs has not been through trf_tok2vec."
)
TB018 = "[TB018] Unknown setting of from_pretrained: {got}. Expected some of: {expected}."
TB019 = (
    "[TB019] Expected at most {n_layers} for 'freeze', the number of layers of the model, got "
    "{got}. Use a smaller number, or 'all'."
)
TB020 = (
    "[TB020] {component} listens to a transformer, but the pipeline has none before it. Add "
    "trf_wordpiecer and trf_tok2vec{upstream} before it."
)
TB021 = (
    "[TB021] {component} received a Doc of {n_tokens} tokens with {found} instead of the "
    "transformer's output. Put trf_tok2vec before it in the pipeline, don't disable it, and if it "
    "is frozen in training, list it under annotating_components."
)
TB022 = (
    "[TB022] '{name}' needs the {output}, which the checkpoint '{trf_name}' does not have. Use "
    "another architecture: trf_bridge.TextCatMean.v1 works with every checkpoint."
)
TB023 = (
    "[TB023] The gradient in doc._.trf_d_{output} contains NaN or infinite numbers. The batch was "
    "dropped, and the weights are unchanged. Check the components after '{name}' that add to it."
)
TB024 = (
    "[TB024] The gradient of this Doc has been sent back to the transformer already, so what is "
    "added to doc._.trf_d_{output} now would be lost. Within an update, don't read the "
    "transformer's model, call its predict or settle it before every component has added its "
    "gradient."
)
TB025 = "[TB025] Expected a number from {least} to {most} for '{field}', got {got}."
TB026 = (
    "[TB026] An example has the label {got}, which '{name}' does not have. Expected one of: "
    "{expected}. Add labels before nlp.initialize, or pass all of them to initialize."
)
TB027 = (
    "[TB027] Expected width = {expected} for the listener of '{name}', the width of the "
    "transformer, got {got}. Leave width out to take it from the transformer."
)
TB030 = (
    "[TB030] gradient_checkpointing = true, but {architecture} in transformers {version} does not "
    "support it. Set it to false, and lower words_per_batch to save memory."
)
TB031 = (
    "[TB031] The model in {path} does not compute the numbers that it computed when it was saved "
    "with transformers {saved}; transformers {installed} is installed. Install the version that it "
    "was saved with, or one close to it."
)
TB032 = (
    "[TB032] Expected build_inputs_with_special_tokens of {tokenizer} to return the {expected} ids "
    "of a text, unchanged and in order, with special tokens around them, got {got} of them. Use a "
    "fast tokenizer, or correct the method."
)
TB033 = (
    "[TB033] Can't use {tokenizer}: it gives no character offsets, and calling it is not the same "
    "as calling tokenize, convert_tokens_to_ids and build_inputs_with_special_tokens one after the "
    "other. Use a fast tokenizer. Reason: {reason}"
)
TB034 = (
    "[TB034] The maximum length of {got} wordpieces leaves no room for text: the tokenizer adds "
    "{n_added} boundary pieces to each input. Set max_length on trf_wordpiecer to at least {least}."
)
TB035 = (
    "[TB035] Expected the function in sentences of '{name}' to return a list of Spans for each of "
    "the {n_docs} Docs, each a Span of that Doc, got {got}."
)
TB036 = (
    "[TB036] The function in sentences of '{name}' returned the tokens {one} and then the tokens "
    "{two} of one Doc. Expected Spans in order, without common tokens."
)
TB037 = (
    "[TB037] Expected the text of a token, such as '|||', for {field}, got {got} ({got_type}). Use "
    "null (None) if there are no pairs of texts."
)
TB039 = (
    "[TB039] A text contains {code}, half of a surrogate pair, at character {place}. It is not "
    "valid Unicode and can't be tokenized. If bytes were decoded with errors='surrogateescape' or "
    "'surrogatepass', decode them with errors='replace' instead."
)

# The command line
TB040 = (
    "[TB040] The command failed with an unexpected error, {error}: {reason}. Run it again with "
    "--verbose to see the traceback."
)
TB041 = "[TB041] {path} exists already. {advice}"
TB042 = (
    "[TB042] Expected text in UTF-8 in {path}, got the byte {byte} in line {line}. Convert the "
    "file to UTF-8."
)
TB043 = (
    "[TB043] This command needs a pipeline with the component {needs}, but '{pipeline}' has "
    "{found}. Create one with: python -m spacy trf init NAME_OR_PATH OUT."
)
TB044 = "[TB044] Can't use '{path}': {reason}. Expected {expected}."
TB045 = "[TB045] The recipe {path} is not valid: {faults}."
TB046 = (
    "[TB046] The package {package} needs {what}, which could not be downloaded: {reason}. Run the "
    "command on a machine that reaches {where}, or that has the files in its cache."
)
TB047 = (
    "[TB047] The files of {checkpoint} are not the files that the recipe expects: {reason}. "
    "Download them again, or correct the recipe."
)
TB048 = "[TB048] No wheel was built: {reason}."
TB049 = "[TB049] The arguments of the command contradict each other: {problem}."
TB065 = (
    "[TB065] '{pipeline}' is a pipeline of {library}, which trf_bridge can't run. Convert it with: "
    "python -m spacy trf convert {pipeline} OUTPUT, and use the OUTPUT folder."
)
TB066 = (
    "[TB066] {path} contains no name of a checkpoint for '{component}'. Add the option --trf-name "
    "with a folder, or a name on the Hugging Face hub."
)
TB067 = "[TB067] Can't convert {path}: {reason}. {advice}"

# Pictures
TB050 = (
    "[TB050] Expected a Doc or a Span, or several of them, to draw, got {got}. Create a Doc with "
    "nlp(text)."
)
TB051 = (
    "[TB051] A Doc of {n_tokens} tokens has no attentions. Set output_attentions = true in "
    "[components.trf_tok2vec.model] of the pipeline's config and run the pipeline again. The "
    "command view does this for one run with --output-attentions."
)
TB052 = "[TB052] A Doc of {n_tokens} tokens has no {what}. Run a pipeline with {component} on it."
TB053 = "[TB053] {what} takes {expected}, got {got}."
TB054 = (
    "[TB054] Can't serve at {host}, port {port}: {reason}. Use another port, or 0 for any free "
    "port."
)
TB055 = (
    "[TB055] The picture would contain {n_cells:,} numbers, and a browser can draw at most "
    "{most:,}. Draw a shorter text or a Span, or fewer layers or heads."
)
TB056 = (
    "[TB056] Attention can only be compared over the same tokens, got a Doc of {one} tokens and a "
    "Doc of {two}. Create the second from the words of the first."
)
TB057 = (
    "[TB057] Can't run this model in the engine '{engine}': {reason}. Set engine = 'auto' to use "
    "the fastest engine that runs it."
)
TB058 = (
    "[TB058] '{name}' is a spaCy pipeline{kind}, and this needs the checkpoint of a transformer: a "
    "folder with config.json, or a name on the Hugging Face hub. {advice}"
)
TB059 = (
    "[TB059] tokenizers {version} can't read {path}. The file is valid JSON, so it was probably "
    "written by a newer version. Upgrade: pip install -U tokenizers transformers. Reason: {reason}"
)
TB060 = (
    "[TB060] The checkpoint '{trf_name}' is a {architecture}, which reads more than texts, and its "
    "text part can't be loaded by itself: {reason}. Save the text model in a folder, with its "
    "tokenizer, and load that folder."
)
TB061 = (
    "[TB061] The labels of '{name}' are not those of entities: scheme = '{scheme}' does not "
    "explain {got}. Expected 'O', and either types alone, or types after 'B-', 'I-', 'L-', 'U-' "
    "or after 'B-', 'I-', 'E-', 'S-'. To write the labels to token.tag_, set annotate = 'tags' on "
    "the component, or pass head={{'annotate': 'tags'}} to from_pretrained."
)
TB062 = (
    "[TB062] Expected id2label in the config.json of '{trf_name}' to name each of the {n_outputs} "
    "outputs of its head once, got {got}. Correct the file, or leave the head out with head=False."
)
TB063 = "[TB063] '{name}' has {n_labels} labels, but weights for {n_outputs}. {advice}"
TB064 = (
    "[TB064] '{name}' expects exactly one right label for each text, of at least two labels, got "
    "{got}. If a text can have several labels or none, set exclusive_classes = false in its model."
)
TB068 = (
    "[TB068] Can't compute the vectors of pooling = 'model': {reason}. Use 'mean' or 'cls', or "
    "create the pipeline from the folder or repository with the files of sentence-transformers."
)
TB069 = (
    "[TB069] A {kind} of {n_tokens} tokens has no class token in one of its inputs: the model has "
    "none, or the text is only a part of an input. Use pooling = 'mean'."
)

# Trained pipelines of other libraries
TB070 = (
    "[TB070] Can't read {path}, a part of the pipeline to convert: it is missing, incomplete or in "
    "an unknown format. Copy or install that pipeline again. Reason: {reason}"
)
TB071 = (
    "[TB071] The weights in {path} contain more than tensors, so they were not read: a pickle can "
    "execute code. If you trust the pipeline, load and save it in an environment with its own "
    "library. Reason: {reason}"
)
TB072 = (
    "[TB072] Can't load the component in {path}: its files don't fit the config of the pipeline. "
    "Load and save the pipeline with the versions that it was trained with. Reason: {reason}"
)
TB073 = (
    "[TB073] {path} can't be converted with its weights, because a part has no counterpart that "
    "predicts the same: {reason}. Convert the config alone and train it."
)

# Warnings
TB101 = (
    "[TB101] {n_tokens} tokens of {n_inputs} sentences or pairs lie past the maximum of "
    "{max_length} wordpieces; their rows of doc.tensor are zero. Split the text into shorter "
    "sentences, or set overflow = 'window' on trf_wordpiecer."
)
TB102 = (
    "[TB102] '{name}' received no gradient, so it learns nothing from this batch. {heads} To keep "
    "the transformer unchanged on purpose, set freeze = 'all' in its model."
)
TB104 = (
    "[TB104] The characters of {n_guessed} of {n_pieces} wordpieces are not certain: the tokenizer "
    "gives no character offsets, and these wordpieces don't show their text. They are linked to "
    "the tokens near their neighbours, so rows of doc.tensor may be off by a token there. Use a "
    "fast tokenizer if the model has one."
)
TB105 = (
    "[TB105] {n_tokens} tokens of {n_docs} Docs, white space aside, are in none of the Spans that "
    "the function in sentences of '{name}' returned; their rows of doc.tensor are zero."
)
TB106 = "[TB106] The separator of {n_docs} Docs {problem}. {advice}"
TB107 = "[TB107] precision = 'auto' is {choice}: {reason}."
TB108 = (
    "[TB108] freeze = 0 is deprecated and will be removed in version 1.0. Use freeze = "
    "'embeddings' to freeze the embeddings alone."
)
TB109 = (
    "[TB109] '{component}' sets sentence boundaries before '{name}', but training does not run it: "
    "the transformer would be trained on other sentences than it predicts on. List '{component}' "
    "under annotating_components in the [training] section of the config."
)
TB110 = (
    "[TB110] The head of '{trf_name}' ({architecture}) was dropped: trf_bridge has no component "
    "that computes the same. The transformer is complete. Add a component and train it, or pass "
    "head=False if this is what you want."
)
TB112 = (
    "[TB112] The config takes '{component}' from '{source}', a pipeline of {library}. Convert it, "
    "too, with python -m spacy trf convert {source} OUTPUT, and set source to OUTPUT."
)
TB113 = (
    "[TB113] {n_different} of {n_texts} texts were not read as one input{most}, as "
    "sentence-transformers reads them, so their vectors differ from its own. Create the pipeline "
    "with sentences = 'doc'{setting}."
)
TB114 = (
    "[TB114] The tokenizer in {path} gives no character offsets. spacy-transformers compares the "
    "texts of its wordpieces with those of tokens, and trf_bridge computes offsets, so a few "
    "tokens can have other wordpieces and predictions. Compare the two pipelines on your texts."
)
