from django import template

from workers.llm.prices import dollars

register = template.Library()
register.filter("dollars", dollars)
