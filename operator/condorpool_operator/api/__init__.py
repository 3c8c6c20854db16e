"""The CondorPool API: models and the CustomResourceDefinition made from them."""
