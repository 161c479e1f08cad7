from django import template

from labelapp.autolabel.pages import selection_words

register = template.Library()
register.filter("selection_words", selection_words)
