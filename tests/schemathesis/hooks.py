"""What OpenAPI cannot say of a query, so that the schema allows what is refused with 400.

Such a refusal is none that counts as a failure, if it is the very one that is named here.
"""

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

# By the parameter that the refusal names, a piece of its text.
UNSAID = {
    # What a word is: letters and digits of any script, once accents and signs are gone.
    "q": ("there is no letter or digit in it", "more than 8 words"),
    "tags": ("there is no letter or digit in it",),
    "categories": ("there is no letter or digit in it",),
    "exclude_tags": ("there is no letter or digit in it",),
    "exclude_categories": ("there is no letter or digit in it",),
    "exclude_text": ("there is no letter or digit in it", "more than 8 words"),
    # One parameter's value needs another parameter.
    "sort": ("relevance is to the words of q",),
    # Only an answer makes one.
    "cursor": ("not a cursor",),
    # One of three lists has to be there.
    "tokens": ("name books by tokens, markets or events",),
}


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    problem = response.json()
    unsaid = UNSAID.get(problem.get("parameter"), ())
    return not any(text in problem["error"] for text in unsaid)
